"""Tests of an application's timeouts, with no server and no waiting.

A `Peer` goes around an application, and into the test client that its tests use anyway. The
application keeps its own `KeepaliveMiddleware`, with whatever settings.

Example::

    def test_timeout():
        peer = Peer(app)
        with TestClient(peer).websocket_connect("/ws") as websocket:
            peer.time_out()
            with pytest.raises(WebSocketDisconnect) as raised:
                websocket.receive_text()
            assert raised.value.code == 1011
"""

from __future__ import annotations

from ..extension import Application, Receive, Scope, Send
from .connection import PeerConnection, valid
from .server import SimulatedServer

__all__ = ["Peer", "PeerConnection"]


class Peer:
    """The other end of an application's WebSocket connections, as a test wants it.

    It is an ASGI application, to be given to a test client instead of the one that it wraps. At
    first it answers each Ping. Its methods are about all connections that are open; `connections`
    has each alone. They may be called in any thread, and have done it when they return.

    Nothing is waited for. Whatever `ping_interval` and `ping_timeout` are, the next Ping goes out
    at once, and what its Pong has taken is what the test says. The application, the log and the
    observers are told what a server would tell them. The event loop has to be one of asyncio's.

    Example::

        peer = Peer(app)
        client = TestClient(peer)

    Args:
        app: The ASGI application, with a `KeepaliveMiddleware` somewhere in it. Scopes other than
            `websocket` reach it untouched.
        latency: How long a Pong takes, in seconds. One that takes `ping_timeout` or longer is
            overdue at once. So with `math.inf` all are.

    Raises:
        TypeError: The latency is not a number.
        ValueError: The latency is negative.
    """

    def __init__(self, app: Application, *, latency: float = 0.0) -> None:
        self.app = app
        self._latency = valid(latency)
        self._connections: list[PeerConnection] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        server = SimulatedServer(scope, receive, send, self._latency)
        connection = PeerConnection(server)
        self._connections.append(connection)
        try:
            await self.app(server.scope, server.receive, server.send)
        finally:
            self._connections.remove(connection)
            server.end()

    @property
    def connections(self) -> tuple[PeerConnection, ...]:
        """The connections that are open and kept alive, in the order in which they began.

        Example::

            for connection in peer.connections:
                print(connection.path, connection.keepalive.latency)
        """
        return tuple(one for one in self._connections if one.is_open)

    def pong_after(self, latency: float) -> None:
        """Let a Ping go out now, and its Pong come after `latency` seconds.

        The application's `keepalive.latency` has that value when this returns. Later Pings are
        answered alike, those of `keepalive.ping()` too. A peer that was frozen reads again, and
        answers the Pings that are unanswered. With `ping_interval=None` no Ping goes out.

        Example::

            peer.pong_after(0.25)
            assert peer.connections[0].keepalive.latency == 0.25

        Args:
            latency: As for `Peer`.

        Raises:
            RuntimeError: No connection is open that a `KeepaliveMiddleware` keeps alive.
            TypeError: The latency is not a number.
            ValueError: The latency is negative.
        """
        for connection in self._open():
            connection.pong_after(latency)

    def lose_pong(self) -> None:
        """Let the Pong of the next Ping be lost.

        If the application sends that Ping with `keepalive.ping()`, this raises `PingTimeout` at
        once, and the connection stays open. Later Pings are answered.

        Example::

            peer.lose_pong()

        Raises:
            RuntimeError: No connection is open that a `KeepaliveMiddleware` keeps alive.
        """
        for connection in self._open():
            connection.lose_pong()

    def freeze(self) -> None:
        """Let the peer read nothing any more, as a process that has been stopped.

        It answers no Ping. A message of the application's waits in `send`: until `time_out`, when
        `send` raises `KeepaliveTimeout`, or until `pong_after`.

        Example::

            peer.freeze()
            peer.time_out()

        Raises:
            RuntimeError: No connection is open that a `KeepaliveMiddleware` keeps alive.
        """
        for connection in self._open():
            connection.freeze()

    def time_out(self) -> None:
        """Let a Pong be overdue now.

        The connection has been failed when this returns. The application's `receive` returns a
        disconnect with code 1011, and its `send` raises `KeepaliveTimeout`. The test client gets a
        close with code 1011. The verdict is `frozen` after `freeze`, and otherwise `silent`.

        Example::

            [connection] = peer.connections
            peer.time_out()
            assert connection.keepalive.verdict.reason == "silent"

        Raises:
            RuntimeError: No connection is open that a `KeepaliveMiddleware` keeps alive. Or
                `ping_interval` or `ping_timeout` is `None`, so nothing times out.
        """
        for connection in self._open():
            connection.time_out()

    def _open(self) -> tuple[PeerConnection, ...]:
        if not (connections := self.connections):
            raise RuntimeError(
                "no connection is open that KeepaliveMiddleware keeps alive: is it around the "
                "application, and has the test connected?"
            )
        return connections
