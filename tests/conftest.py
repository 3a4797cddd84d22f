from __future__ import annotations

import logging
import queue
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.extension import Application

# What its modules assert is to be explained as in tests, and each is imported after this.
pytest.register_assert_rewrite("tests.support")

from .support.server import Server, running  # noqa: E402
from .support.serving import CANCELLED, serving  # noqa: E402
from .support.tcp import Pair, connection  # noqa: E402
from .support.timeouts import CLOSE_TIMEOUT, INTERVAL, TIMEOUT  # noqa: E402

PROTOCOLS = ["websockets-sansio", "wsproto", "websockets"]
"""uvicorn's, as `--ws` names them."""

SERVERS = [*PROTOCOLS, "hypercorn", "daphne", "gunicorn"]
LOOPS = ["asyncio", "uvloop"]

Serve = Callable[..., Server]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what cannot be: Twisted brings an event loop of its own."""
    for item in items.copy():
        params = item.callspec.params if hasattr(item, "callspec") else {}
        if params.get("ws") == "daphne" and params.get("loop") == "uvloop":
            items.remove(item)


@pytest.fixture(params=SERVERS)
def ws(request: pytest.FixtureRequest) -> str:
    """One of uvicorn's WebSocket protocols, as `--ws` names it, or another server."""
    return str(request.param)


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    """An event loop, as `--loop` names it."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


ENDS = ("max_age", "notice", "drain_window")
"""The settings of the middleware for planned ends."""


class Reports:
    """What an application in the server's thread tells the test."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Any] = queue.Queue()

    def put(self, report: Any) -> None:
        self._queue.put(report)

    def get(self, timeout: float = 10) -> Any:
        return self._queue.get(timeout=timeout)

    def empty(self) -> bool:
        return self._queue.empty()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends of a TCP connection."""
    with connection() as both:
        yield both


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """What a client trusts, and the file that uvicorn reads."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    return context, path


@pytest.fixture
def tls(certificate: tuple[ssl.SSLContext, Path]) -> ssl.SSLContext:
    return certificate[0]


@pytest.fixture
def tls_config(certificate: tuple[ssl.SSLContext, Path]) -> dict[str, str]:
    return {"ssl_certfile": str(certificate[1])}


@pytest.fixture
def serve(ws: str, loop: str) -> Iterator[Serve]:
    """Serve an application behind the middleware; in the end nothing may have gone wrong.

    The keywords of the middleware are its own; `expect` names a part of each message that may
    be logged as a warning or an error.
    """
    servers: list[Server] = []
    expected = ["the event loop stood still", *CANCELLED]
    with ExitStack() as stack:

        def serve(
            app: Application,
            *,
            ping_interval: float | None = INTERVAL,
            ping_timeout: float | None = TIMEOUT,
            close_timeout: float = CLOSE_TIMEOUT,
            liveness: Any = "pong",
            expect: tuple[str, ...] = (),
            **config: Any,
        ) -> Server:
            ends = {name: config.pop(name) for name in ENDS if name in config}
            wrapped = KeepaliveMiddleware(
                app,
                ping_interval=ping_interval,
                ping_timeout=ping_timeout,
                close_timeout=close_timeout,
                liveness=liveness,
                **ends,
            )
            server = serving(wrapped, **{"ws": ws, "loop": loop, **config})
            servers.append(server)
            expected.extend(expect)
            return stack.enter_context(running(server))

        yield serve
    wrong = [
        record
        for server in servers
        for record in server.records
        if record.levelno >= logging.WARNING
        and not any(part in record.getMessage() for part in expected)
    ]
    assert wrong == []
