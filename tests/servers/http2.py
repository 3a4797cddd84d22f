"""An application behind the middleware on hypercorn, for clients over HTTP/2."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.servers.hypercorn import life
from asgi_keepalive.servers.hypercorn.streams import HTTP2Connection

from ..support.applications import accept, echo
from ..support.client import CLOSE, TEXT, frame
from ..support.h2 import HTTP2, Stream
from ..support.server import Server, kernel_sockets, running, wait_until
from ..support.serving import CANCELLED, serving
from ..support.timeouts import CLOSE_TIMEOUT, INTERVAL, LATE, TIMEOUT

ANSWER = frame(CLOSE, b"\x0f\xa0")
"""It has the code 4000."""

SLOW = {"ping_interval": 20.0, "ping_timeout": 20.0}
"""Nothing is failed."""


def wrapped(call: Any) -> Any:
    """Return a closure, as tracing does."""

    async def traced(*event: Any) -> Any:
        return await call(*event)

    return traced


def by_path(**apps: Any) -> Any:
    """Return an application that is another one on each path, and else an echo."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await apps.get(scope["path"][1:], echo)(scope, receive, send)

    return app


async def until_end(scope: Any, receive: Any, send: Any) -> Any:
    """Accept, receive until the end, and return what that was."""
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        pass
    return event


def lives(client: HTTP2, other: Stream) -> bool:
    """Whether another stream of the connection still works."""
    other.answers = True
    other.send(TEXT, b"hello")
    return other.expect(TEXT) == b"hello"


class Served:
    """A running server.

    Attributes:
        connections: What hypercorn has of each HTTP/2 connection, in their order.
        expected: Parts of what may be logged as a warning or an error.
        wraps: Whether something stands between hypercorn and the middleware.
    """

    def __init__(self, app: Any, loop: str, tls: Any, tls_config: Any, **config: Any) -> None:
        self.connections: list[Any] = []
        self.expected: list[str] = ["the event loop stood still", *CANCELLED]
        self.wraps = False
        self._app = KeepaliveMiddleware(
            app,
            ping_interval=config.pop("ping_interval", INTERVAL),
            ping_timeout=config.pop("ping_timeout", TIMEOUT),
            close_timeout=config.pop("close_timeout", CLOSE_TIMEOUT),
            liveness=config.pop("liveness", "pong"),
        )
        self._tls = tls
        self.server: Server = serving(
            self._outermost, ws="hypercorn", loop=loop, **tls_config, **config
        )

    async def _outermost(self, scope: Any, receive: Any, send: Any) -> None:
        http = send.__self__.send.__self__
        if http not in self.connections:
            self.connections.append(http)
        await self._app(scope, *(map(wrapped, (receive, send)) if self.wraps else (receive, send)))

    def connect(self, **keys: Any) -> HTTP2:
        return HTTP2(self.server.port, tls=self._tls, **keys)

    def nothing_left(self) -> bool:
        """Whether the streams have left nothing with their connections."""

        def look() -> list[Any]:
            left: list[Any] = []
            for http in self.connections:
                left += [*http.streams, *http.stream_buffers]
                shared = getattr(http.handle, "__self__", None)
                if type(shared) is HTTP2Connection:
                    left += [*shared._transports, *shared._tasks]
            return left

        return not self.server.run(look)

    def freed(self, client: HTTP2, within: float = 0) -> None:
        """Wait until neither hypercorn nor the kernel holds anything of a connection."""
        wait_until(lambda: not kernel_sockets(self.server.port, client.port), within + LATE)
        wait_until(lambda: not self.server.connections(), LATE)


Serve2 = Callable[..., Served]


everywhere = pytest.mark.parametrize(
    "serve", ["asyncio-h2c", "asyncio-tls", "uvloop-h2c", "uvloop-tls"], indirect=True
)


once = pytest.mark.parametrize("serve", ["asyncio-tls"], indirect=True)


@pytest.fixture(params=["asyncio-tls", "uvloop-h2c"])
def serve(
    request: pytest.FixtureRequest,
    tls: ssl.SSLContext,
    tls_config: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Serve2]:
    """Serve an application; in the end nothing may have gone wrong."""
    loop, _, secure = request.param.partition("-")
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    keys: tuple[Any, Any] = (tls, tls_config) if secure == "tls" else (None, {})
    monkeypatch.setattr(life, "TIME_TO_ANSWER", CLOSE_TIMEOUT)
    all_served: list[Served] = []
    with ExitStack() as stack:

        def serve(app: Any, **config: Any) -> Served:
            served = Served(app, loop, *keys, **config)
            all_served.append(served)
            stack.enter_context(running(served.server))
            return served

        yield serve
    wrong = [
        record.getMessage()
        for served in all_served
        for record in served.server.complaints()
        if not any(part in record.getMessage() for part in served.expected)
    ]
    assert wrong == []
