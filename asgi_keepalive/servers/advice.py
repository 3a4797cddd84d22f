"""Why a connection's server gives no access to its Pings, and what its user can do about it."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from . import granian
from .origins import modules, name, owners


class Known(NamedTuple):
    """A server.

    Attributes:
        modules: How the names of the modules begin that define its connections, or run it.
        oldest: The first release that has what the adapter here needs.
        newest: The last release, with all its patches, that the adapter was tested with.
        advice: What holds for all its connections, where there is no adapter.
    """

    modules: str | tuple[str, ...]
    oldest: str = ""
    newest: str = ""
    advice: str = ""


IN_TESTS = (
    "is for tests, and has no Ping and Pong frames. To test timeouts, put a Peer of "
    "asgi_keepalive.testing around the application"
)
NO_ACCESS = (
    "it gives applications no access to Ping and Pong frames. Run the application on uvicorn, "
    "hypercorn, daphne or gunicorn"
)
QUEUES_IN_TESTS = (
    "receive and send are bare queues: an ApplicationCommunicator of asgiref, or a "
    f"WebsocketCommunicator of Channels, {IN_TESTS}"
)

SERVERS = {
    "uvicorn": Known(("uvicorn.protocols.", "uvicorn.server"), "0.52.1", "0.54"),
    "hypercorn": Known("hypercorn.", "0.18", "0.18"),
    "daphne": Known("daphne.", "4.2", "4.2"),
    "granian": Known("granian.", advice=granian.ADVICE),
    "gunicorn": Known("gunicorn.asgi.", "27.0", "27.0"),
    "starlette": Known("starlette.testclient", advice=f"its TestClient {IN_TESTS}"),
    "httpx-ws": Known("httpx_ws.", advice=f"its transport {IN_TESTS}"),
    **{
        server: Known(f"{server}.", advice=NO_ACCESS)
        for server in ("anycorn", "h2corn", "palfrey", "socketify", "tremolo")
    },
}
"""By the name of its distribution; the tests run on the oldest and the newest of a release."""

QUEUES = "asyncio.queues"
"""From which some servers' `receive` comes; so it is not between."""

OUTERMOST = "put KeepaliveMiddleware around everything else"
WS_CLASS = "run uvicorn with --ws asgi_keepalive.servers.uvicorn.sansio:KeepaliveProtocol"


class Advice(str):
    """A sentence for the user of a connection without Pings.

    Attributes:
        server: The name and version of the server it is about; empty if that is not known.
    """

    __slots__ = ("server",)

    server: str

    def __new__(cls, sentence: str, server: str = "") -> Advice:
        """Put a sentence and its server together."""
        self = super().__new__(cls, sentence)
        self.server = server
        return self

    @property
    def off(self) -> str:
        """The words of the log: keepalive is off, where, and why."""
        return f"off on {self.server}: {self}" if self.server else f"off: {self}"


def advise(receive: Any, send: Any, declined: str = "") -> Advice:
    """Return why nothing here can serve a connection, and what to do.

    Args:
        receive: What the application was given; or what it leads to, if the adapter declines that.
        send: The same.
        declined: What the server's own adapter says, if anything.
    """
    calls = receive, send
    server = _server(_modules(calls)) or _server(_running())
    if server is None:
        return Advice(declined or _unknown(calls))
    known = SERVERS[server]
    sentence = declined or known.advice or _reason(server, known, calls)
    return Advice(sentence, _labelled(server))


def _unknown(calls: tuple[Any, ...]) -> str:
    """Return what is known of something that may be a server, or hide one."""
    if all(_is_of(QUEUES, call) for call in calls):
        return QUEUES_IN_TESTS
    packages = dict.fromkeys(name(call).partition(".")[0] for call in calls)
    installed = ", ".join(_labelled(package) for package in packages if _version(package))
    return (
        f"receive and send come from {_names(calls)}{installed and f' ({installed})'}, and not "
        "from a server that gives access to its Ping and Pong frames. uvicorn, hypercorn, daphne "
        f"and gunicorn do: on one of them, {OUTERMOST}"
    )


def _server(names: Iterable[str]) -> str | None:
    """Return the server that some of these modules are part of."""
    for module in names:
        for server, known in SERVERS.items():
            if module.startswith(known.modules):
                return server
    return None


def _modules(calls: Iterable[Any]) -> list[str]:
    return [module for owner in owners(*calls) for module in modules(owner)]


def _running() -> Iterator[str]:
    """Yield the modules whose code runs at this moment, from here outward to the server's."""
    frame = inspect.currentframe()
    while frame is not None:
        yield str(frame.f_globals.get("__name__"))
        frame = frame.f_back


def _reason(server: str, known: Known, calls: tuple[Any, ...]) -> str:
    """Return why the adapter of a server had to decline."""
    release, newest = _release(_version(server)), _release(known.newest)
    own = [call for call in calls if _is_of(known.modules, call)]
    others = [call for call in calls if not _is_of(known.modules, call)]
    between = [call for call in others if not _is_of(QUEUES, call)]
    if release and release < _release(known.oldest):
        return f"it is too old. Upgrade it to {known.oldest} or later"
    if not own or between:
        hiding = between or others
        return f"it is hidden by {_names(hiding)}: {_cure(server, hiding)}"
    if release[: len(newest)] > newest:
        return (
            f"it is newer than {_labelled('asgi-keepalive')} knows, which was tested up to "
            f"{known.newest}. Upgrade asgi-keepalive, or use {server} {known.newest}"
        )
    return (
        f"its connection is not what {_labelled('asgi-keepalive')} expects ({_names(own)}): a "
        "subclass, a patch, another transport or another release of a library beneath it is in "
        "use. Do without that"
    )


def _cure(server: str, hiding: Iterable[Any]) -> str:
    """Return what to do about what hides a server; nothing can be put around its own wrappers."""
    if server != "uvicorn":
        return OUTERMOST
    if all(_is_of("uvicorn.", call) for call in hiding):
        return WS_CLASS
    return f"{OUTERMOST}, or {WS_CLASS}"


def _is_of(prefix: str | tuple[str, ...], call: Any) -> bool:
    return any(module.startswith(prefix) for module in _modules([call]))


def _names(calls: Iterable[Any]) -> str:
    return " and ".join(dict.fromkeys(name(call) for call in calls))


@functools.cache
def _version(distribution: str) -> str:
    """Return the installed version; nothing if it is not installed as a distribution."""
    with contextlib.suppress(Exception):
        return importlib.metadata.version(distribution)
    return ""


def _labelled(distribution: str) -> str:
    """Return name and version, of a fork if that brings the package of this name."""
    if not _version(distribution):
        distribution = _fork(distribution)
    return f"{distribution} {_version(distribution)}".rstrip()


@functools.cache
def _fork(package: str) -> str:
    with contextlib.suppress(Exception):
        [fork] = importlib.metadata.packages_distributions()[package]
        return fork
    return package


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, without what follows them for one that is not final."""
    return tuple(map(int, re.findall(r"\d+", re.split(r"[^\d.]", version)[0])))
