"""The one warning about a connection without Pings names its server, and the cure that fits."""

from __future__ import annotations

import functools
import importlib.metadata
import tomllib
import types
from pathlib import Path
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.servers import advice, granian
from asgi_keepalive.servers.advice import SERVERS, Advice, advise
from asgi_keepalive.servers.origins import name

from ..support.applications import accept
from ..support.fake_loop import in_no_time

ROOT = Path(__file__).parents[2]

OUTERMOST = "put KeepaliveMiddleware around everything else"
WS_CLASS = "run uvicorn with --ws asgi_keepalive.servers.uvicorn.sansio:KeepaliveProtocol"
CHANGED = (
    "its connection is not what asgi-keepalive 1.0 expects ({}): a subclass, a patch, another "
    "transport or another release of a library beneath it is in use. Do without that"
)
NEWER = (
    "it is newer than asgi-keepalive 1.0 knows, which was tested up to {0}. Upgrade "
    "asgi-keepalive, or use {1} {0}"
)
TOO_OLD = "it is too old. Upgrade it to 0.52.1 or later"
UNKNOWN = (
    "receive and send come from {}, and not from a server that gives access to its Ping and Pong "
    f"frames. uvicorn, hypercorn, daphne and gunicorn do: on one of them, {OUTERMOST}"
)


def method(cls: str) -> Any:
    """Return a method of an object of some class."""

    async def call(self: Any) -> Any:
        raise AssertionError("never called")

    module, _, short = cls.rpartition(".")
    return type(short, (), {"__module__": module, "call": call})().call


QUEUE = method("asyncio.queues.Queue")
UVICORN = method("uvicorn.protocols.websockets.wsproto_impl.WSProtocol")
HYPERCORN = method("hypercorn.protocol.ws_stream.WSStream")
DAPHNE = functools.partial(
    method("daphne.server.Server"), method("daphne.ws_protocol.WebSocketProtocol").__self__
)
TRACE = method("uvicorn.middleware.message_logger.MessageLoggerMiddleware")
GRANIAN = method("granian._granian.ASGIWebsocketProtocol")
GUNICORN = method("gunicorn.asgi.websocket.WebSocketProtocol")
SESSION = method("sessions.Session")
BY_SESSION = f"it is hidden by sessions.Session: {OUTERMOST}"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The versions that are installed, for the test to change."""
    versions = {"asgi-keepalive": "1.0"}
    versions |= {server: known.oldest for server, known in SERVERS.items() if known.oldest}
    monkeypatch.setattr(advice, "_version", lambda distribution: versions.get(distribution, ""))
    return versions


def expect(actual: Advice, server: str, sentence: str) -> None:
    assert (actual.server, str(actual)) == (server, sentence)


class TestAdapted:
    """A server that has an adapter, which had to decline."""

    @pytest.mark.parametrize(
        ("receive", "send", "server", "own"),
        [
            (UVICORN, UVICORN, "uvicorn 0.52.1", UVICORN),
            (QUEUE, HYPERCORN, "hypercorn 0.18", HYPERCORN),
            (QUEUE, DAPHNE, "daphne 4.2", DAPHNE),
            (GUNICORN, GUNICORN, "gunicorn 27.0", GUNICORN),
        ],
        ids=["uvicorn", "hypercorn", "daphne", "gunicorn"],
    )
    @pytest.mark.usefixtures("installed")
    def test_changed_inside(self, receive: Any, send: Any, server: str, own: Any) -> None:
        expect(advise(receive, send), server, CHANGED.format(name(own)))

    @pytest.mark.parametrize(
        ("version", "sentence"),
        [
            ("0.46", TOO_OLD),
            ("0.52.0", TOO_OLD),
            ("0.52.1", CHANGED.format(name(UVICORN))),
            ("0.54.9.post1", CHANGED.format(name(UVICORN))),
            ("", CHANGED.format(name(UVICORN))),
            ("0.55.0", NEWER.format("0.54", "uvicorn")),
            ("0.100rc1", NEWER.format("0.54", "uvicorn")),
            ("1", NEWER.format("0.54", "uvicorn")),
        ],
    )
    def test_version(self, installed: dict[str, str], version: str, sentence: str) -> None:
        installed["uvicorn"] = version
        expect(advise(UVICORN, UVICORN), f"uvicorn {version}".rstrip(), sentence)

    def test_newer(self, installed: dict[str, str]) -> None:
        installed.update(hypercorn="0.19.0", daphne="5.0")
        expect(advise(QUEUE, HYPERCORN), "hypercorn 0.19.0", NEWER.format("0.18", "hypercorn"))
        expect(advise(QUEUE, DAPHNE), "daphne 5.0", NEWER.format("4.2", "daphne"))

    @pytest.mark.usefixtures("installed")
    def test_what_its_adapter_says(self) -> None:
        expect(advise(QUEUE, HYPERCORN, "why"), "hypercorn 0.18", "why")


def run_by(module: str, receive: Any = SESSION, send: Any = SESSION) -> Advice:
    """Return what is advised where a server's module runs an application."""
    told: Advice = types.FunctionType(advise.__code__, {**vars(advice), "__name__": module})(
        receive, send, ""
    )
    return told


class TestHidden:
    """A server that something hides is named all the same, as it runs the application."""

    @pytest.mark.parametrize(
        ("module", "receive", "send", "server", "sentence"),
        [
            (
                *("uvicorn.protocols.websockets.wsproto_impl", SESSION, SESSION),
                *("uvicorn 0.52.1", f"{BY_SESSION}, or {WS_CLASS}"),
            ),
            ("uvicorn.server", SESSION, SESSION, "uvicorn 0.52.1", f"{BY_SESSION}, or {WS_CLASS}"),
            ("asyncio", UVICORN, SESSION, "uvicorn 0.52.1", f"{BY_SESSION}, or {WS_CLASS}"),
            (
                *("uvicorn.server", TRACE, TRACE, "uvicorn 0.52.1"),
                # Nothing can be put around what is uvicorn's own.
                f"it is hidden by {name(TRACE)}: {WS_CLASS}",
            ),
            (
                *("uvicorn.server", TRACE, SESSION, "uvicorn 0.52.1"),
                f"it is hidden by {name(TRACE)} and sessions.Session: {OUTERMOST}, or {WS_CLASS}",
            ),
            ("hypercorn.asyncio.task_group", QUEUE, SESSION, "hypercorn 0.18", BY_SESSION),
            ("hypercorn.trio.task_group", SESSION, SESSION, "hypercorn 0.18", BY_SESSION),
            ("asyncio", SESSION, HYPERCORN, "hypercorn 0.18", BY_SESSION),
            (
                *("hypercorn.asyncio.task_group", QUEUE, QUEUE, "hypercorn 0.18"),
                f"it is hidden by asyncio.queues.Queue: {OUTERMOST}",
            ),
            ("daphne.server", QUEUE, SESSION, "daphne 4.2", BY_SESSION),
            ("asyncio", SESSION, DAPHNE, "daphne 4.2", BY_SESSION),
            ("granian._futures", SESSION, SESSION, "granian", granian.ADVICE),
            ("asyncio", GRANIAN, SESSION, "granian", granian.ADVICE),
            ("gunicorn.asgi.protocol", SESSION, SESSION, "gunicorn 27.0", BY_SESSION),
        ],
    )
    @pytest.mark.usefixtures("installed")
    def test_named(self, module: str, receive: Any, send: Any, server: str, sentence: str) -> None:
        expect(run_by(module, receive, send), server, sentence)

    def test_too_old(self, installed: dict[str, str]) -> None:
        installed.update(uvicorn="0.40", gunicorn="26.2.0")
        expect(run_by("uvicorn.server"), "uvicorn 0.40", TOO_OLD)
        sentence = "it is too old. Upgrade it to 27.0 or later"
        expect(advise(GUNICORN, GUNICORN), "gunicorn 26.2.0", sentence)

    def test_by_functions_that_say_they_are_the_servers(self) -> None:
        """`functools.wraps` makes them."""

        def here() -> Any: ...

        wrapper = functools.wraps(WSProtocol.send)(here)
        own = "tests.servers.test_advice.TestHidden"
        assert name(wrapper) == f"{own}.test_by_functions_that_say_they_are_the_servers"

    @pytest.mark.usefixtures("installed")
    def test_by_functions_that_are_made_anew(self) -> None:
        def receive() -> Any: ...

        def send(event: Any) -> None: ...

        here = "tests.servers.test_advice.TestHidden.test_by_functions_that_are_made_anew"
        sentence = f"it is hidden by {here}: {OUTERMOST}"
        expect(run_by("daphne.server", receive, send), "daphne 4.2", sentence)


class TestUnknown:
    """The sentence is neutral: nobody is told of another server's flags."""

    @pytest.mark.parametrize("call", [method("some.server.Connection"), SESSION])
    def test_server(self, call: Any) -> None:
        expect(advise(call, call), "", UNKNOWN.format(name(call)))

    def test_two_names(self) -> None:
        names = "asyncio.queues.Queue and sessions.Session"
        expect(advise(QUEUE, SESSION), "", UNKNOWN.format(names))

    def test_versions_of_what_is_installed(self, installed: dict[str, str]) -> None:
        installed.update(some="1.2", sessions="3")
        names = "some.server.Connection and sessions.Session"
        sentence = UNKNOWN.format(f"{names} (some 1.2, sessions 3)")
        expect(advise(method("some.server.Connection"), SESSION), "", sentence)

    def test_what_it_declares_in_vain(self) -> None:
        expect(advise(SESSION, SESSION, "why"), "", "why")

    def test_long_name(self) -> None:
        assert len(advise(method("m." + 10_000 * "C"), SESSION)) < 500


class TestOtherServers:
    """They have no adapter, and another server is the cure."""

    SENTENCE = (
        "it gives applications no access to Ping and Pong frames. Run the application on uvicorn, "
        "hypercorn, daphne or gunicorn"
    )

    @pytest.mark.parametrize(
        ("module", "call"),
        [
            # As they were seen; some are written in another language, and only what runs tells.
            ("h2corn._supervisor", method("builtins._WebSocketSend")),
            ("anycorn.task_group", method("anycorn.protocol.ws_stream.WSStream")),
            ("palfrey.server", method("palfrey.protocols.websocket.send")),
            ("tremolo.asgi_server", method("tremolo.asgi_server.ASGIAppWrapper")),
            ("socketify.tasks", method("socketify.asgi.ASGIWebSocket")),
        ],
        ids=lambda value: value.partition(".")[0] if isinstance(value, str) else "",
    )
    def test_named_also_where_hidden(
        self, installed: dict[str, str], module: str, call: Any
    ) -> None:
        server = module.partition(".")[0]
        installed[server] = "1.5"
        for send in call, SESSION:
            expect(run_by(module, send, send), f"{server} 1.5", self.SENTENCE)

    def test_fork_that_brings_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """nonecorn brings hypercorn's."""
        versions = {"nonecorn": "0.18.0"}
        monkeypatch.setattr(advice, "_version", lambda distribution: versions.get(distribution, ""))
        monkeypatch.setattr(
            importlib.metadata, "packages_distributions", lambda: {"hypercorn": ["nonecorn"]}
        )
        advice._fork.cache_clear()
        try:
            assert advise(QUEUE, HYPERCORN).server == "nonecorn 0.18.0"
        finally:
            advice._fork.cache_clear()


IN_TESTS = (
    "is for tests, and has no Ping and Pong frames. To test timeouts, put a Peer of "
    "asgi_keepalive.testing around the application"
)


class TestTestClients:
    """They are no servers, and nothing is to be cured."""

    @in_no_time
    async def test_communicator(self, caplog: pytest.LogCaptureFixture) -> None:
        """asgiref's, of which Channels' is made."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)

        communicator: Any = ApplicationCommunicator
        server = communicator(KeepaliveMiddleware(app), {"type": "websocket"})
        await server.send_input({"type": "websocket.connect"})
        await server.wait()
        assert caplog.messages == [
            "keepalive is off: receive and send are bare queues: an ApplicationCommunicator of "
            f"asgiref, or a WebsocketCommunicator of Channels, {IN_TESTS}"
        ]

    @pytest.mark.parametrize("hidden", [False, True])
    def test_starlettes(self, caplog: pytest.LogCaptureFixture, hidden: bool) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert not get_keepalive(scope).supported
            await accept(receive, send)
            await send({"type": "websocket.close"})

        middleware = KeepaliveMiddleware(app)

        async def hiding(scope: Scope, receive: Receive, send: Send) -> None:
            await middleware(scope, lambda: receive(), lambda event: send(event))

        client = TestClient(hiding if hidden else middleware)
        for _ in range(2):
            with client.websocket_connect("/"):
                pass
        version = importlib.metadata.version("starlette")
        assert [message for message in caplog.messages if "keepalive" in message] == [
            f"keepalive is off on starlette {version}: its TestClient {IN_TESTS}"
        ]

    def test_httpx_ws(self) -> None:
        call = method("httpx_ws.transport.ASGIWebSocketAsyncNetworkStream")
        version = importlib.metadata.version("httpx-ws")
        expect(advise(call, call), f"httpx-ws {version}", f"its transport {IN_TESTS}")


@pytest.mark.usefixtures("installed")
@in_no_time
async def test_one_warning_per_server_and_middleware(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    middleware = KeepaliveMiddleware(app)
    calls = (QUEUE, HYPERCORN), (SESSION, HYPERCORN), (QUEUE, DAPHNE), (QUEUE, SESSION)
    for _ in range(2):
        for receive, send in calls:
            await middleware({"type": "websocket"}, receive, send)
    assert [message.partition(": ")[0] for message in caplog.messages] == [
        "keepalive is off on hypercorn 0.18",
        "keepalive is off on daphne 4.2",
        "keepalive is off",
    ]


def releases(server: str) -> str:
    """Return how documents name the releases of a server that the tests run on."""
    oldest, newest = SERVERS[server].oldest, SERVERS[server].newest
    return newest if oldest == newest else f"{oldest} to {newest}"


@pytest.mark.parametrize("server", [server for server, known in SERVERS.items() if known.oldest])
class TestReleases:
    """The releases that the package knows are those that its tests run on."""

    def test_oldest_is_what_is_required(self, server: str) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        requirements = [*project["dependencies"], *project["optional-dependencies"].get(server, [])]
        assert f"{server}>={SERVERS[server].oldest}" in requirements

    def test_installed_one_is_known(self, server: str) -> None:
        installed = advice._release(importlib.metadata.version(server))
        newest = advice._release(SERVERS[server].newest)
        assert advice._release(SERVERS[server].oldest) <= installed
        assert installed[: len(newest)] <= newest

    def test_readme_names_them(self, server: str) -> None:
        readme = " ".join((ROOT / "README.md").read_text().split())
        assert f"{server} {releases(server)}" in readme

    def test_page_names_them(self, server: str) -> None:
        """In the row of this release."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in (ROOT / "docs" / "servers.md").read_text().splitlines()
            if line.startswith("|")
        ]
        [row] = [row for row in rows if row[0] == project["version"]]
        assert row[rows[0].index(server)] == releases(server)
