"""What is daphne's alone, on a real one."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from daphne.ws_protocol import WebSocketProtocol  # type: ignore[import-untyped]

from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.endpoint.kernel import reset_on_close
from asgi_keepalive.extension import Server
from asgi_keepalive.servers import find
from asgi_keepalive.servers.advice import Advice
from asgi_keepalive.servers.daphne import TOUCHED, TOUCHED_SERVER, attach
from asgi_keepalive.servers.daphne.adapter import MAX_UNREAD, DaphneAdapter
from asgi_keepalive.servers.daphne.transport import TOUCHED as TOUCHED_TCP

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import BINARY, CLOSE, PONG, TEXT, Client, frame
from ..support.daphne import connection_of, connection_to
from ..support.server import running, wait_until
from ..support.serving import serving
from ..support.timeouts import FAILED, TIMEOUT

pytestmark = [
    pytest.mark.parametrize("ws", ["daphne"]),
    pytest.mark.parametrize("loop", ["asyncio"]),
]


class TestAttach:
    """Which connections are taken over."""

    def hidden(self, reports: Reports, change: Callable[[Any], None]) -> Any:
        """Return an application that tells what `find` says after a change."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            change(connection_of(send))
            reports.put(find(scope, receive, send))
            await accept(receive, send)
            await receive()

        return app

    @pytest.mark.parametrize("name", ["last_ping", "server.connections", "transport.offset"])
    def test_unexpected_inside(
        self, ws: str, loop: str, reports: Reports, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def change(connection: Any) -> None:
            if name == "last_ping":
                del connection.last_ping
            elif name == "transport.offset":
                monkeypatch.delattr("twisted.internet.abstract.FileDescriptor.offset")
            else:
                connection.server.connections[connection].pop("application_instance")

        with (
            running(serving(self.hidden(reports, change), ws=ws, loop=loop)) as server,
            Client(server.port),
        ):
            assert isinstance(reports.get(), Advice)
            monkeypatch.undo()

    def test_attribute_that_is_missing(
        self, ws: str, loop: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            protocol = connection_of(send)
            for owner, names in [
                (protocol, TOUCHED),
                (protocol.server, TOUCHED_SERVER),
                (protocol.transport, TOUCHED_TCP),
            ]:
                for name in names:
                    with monkeypatch.context() as patch:
                        for place in owner, *type(owner).__mro__:
                            if name in vars(place):
                                patch.delattr(place, name)
                        reports.put((name, attach(protocol, receive, send)))
            reports.put("all")

        with running(serving(app, ws=ws, loop=loop)) as server, Client(server.port):
            while (report := reports.get()) != "all":
                name, attached = report
                assert attached is None, name

    def test_parser_that_is_different(
        self, ws: str, loop: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def different(self: Any) -> None:
            raise AssertionError("never called")

        def change(connection: Any) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(WebSocketProtocol, "processData", different)
                reports.put(attach(connection, receive_of(connection), None))  # type: ignore[arg-type]

        def receive_of(connection: Any) -> Any:
            return connection.application_queue.get

        with (
            running(serving(self.hidden(reports, change), ws=ws, loop=loop)) as server,
            Client(server.port),
        ):
            assert reports.get() is None
            assert isinstance(reports.get(), Server)

    def test_subclass(self, ws: str, loop: str, reports: Reports) -> None:
        def change(connection: Any) -> None:
            connection.__class__ = type("Subclass", (WebSocketProtocol,), {})

        with (
            running(serving(self.hidden(reports, change), ws=ws, loop=loop)) as server,
            Client(server.port),
        ):
            assert isinstance(reports.get(), Advice)

    def test_transport_that_is_not_twisteds(self, ws: str, loop: str, reports: Reports) -> None:
        transports: list[Any] = []

        def change(connection: Any) -> None:
            transports.append(connection.transport)
            connection.transport = object()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            change(connection_of(send))
            reports.put(find(scope, receive, send))
            connection_of(send).transport = transports[0]

        with running(serving(app, ws=ws, loop=loop)) as server, Client(server.port):
            assert isinstance(reports.get(), Advice)

    @pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
    def test_connection_that_is_lost_already(
        self,
        ws: str,
        loop: str,
        reports: Reports,
        secure: bool,
        tls: ssl.SSLContext,
        tls_config: dict[str, str],
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            keepalive = get_keepalive(scope)
            await accept(receive, send)
            with pytest.raises(ConnectionError):
                await keepalive.ping()
            with pytest.raises(ConnectionError):
                await send({"type": "websocket.send", "text": "too late"})
            await send({"type": "websocket.close"})
            await asyncio.sleep(0.1)
            reports.put((keepalive.supported, (await receive())["type"]))

        middleware = KeepaliveMiddleware(app, close_timeout=0)

        async def late(scope: Any, receive: Any, send: Any) -> None:
            reports.put("connected")
            await asyncio.sleep(0.2)
            assert not connection_of(send).transport.connected
            await middleware(scope, receive, send)

        config = tls_config if secure else {}
        with running(serving(late, ws=ws, loop=loop, **config)) as server:
            with Client(server.port, tls=tls if secure else None):
                reports.get()
            assert reports.get() == (True, "websocket.disconnect")
            assert server.complaints() == []


def test_send_before_accept_meets_daphnes_own_error(serve: Serve, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(ValueError, match="has not been accepted") as error:
            await send({"type": "websocket.send", "text": "too early"})
        reports.put(error.type)
        await accept(receive, send)

    server = serve(app)
    with Client(server.port).open():
        assert reports.get() is ValueError


class TestBackPressure:
    """Of which daphne itself has none."""

    @pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
    def test_send_waits(
        self,
        serve: Serve,
        reports: Reports,
        secure: bool,
        tls: ssl.SSLContext,
        tls_config: dict[str, str],
    ) -> None:
        size = 65536
        go_on: list[asyncio.Event] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            go_on.append(asyncio.Event())
            count = 0
            with suppress(TimeoutError):
                while True:
                    sending = send({"type": "websocket.send", "bytes": bytes(size)})
                    await asyncio.wait_for(sending, 0.3)
                    count += 1
            reports.put(count)
            await send({"type": "websocket.send", "text": "drained"})
            await receive()

        server = serve(app, ping_interval=None, **(tls_config if secure else {}))
        client = Client(server.port, receive_buffer=4096, tls=tls if secure else None)
        with client.open():
            count = reports.get()
            buffered = connection_to(server).transport.get_write_buffer_size()
            assert 0 < buffered < 3 * size  # Twisted's bound is 64 KiB, and one write more
            assert [client.receive() for _ in range(count)] == [(BINARY, bytes(size))] * count
            assert client.expect(TEXT) == b"drained"


class TestReading:
    """Of which autobahn itself has no bound."""

    def test_bound_of_unread_messages(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(3 * TIMEOUT)
            assert get_keepalive(scope).timed_out
            count = 0
            while (event := await receive())["type"] == "websocket.receive":
                count += 1
            reports.put((event, count))

        server = serve(app, expect=("application behind",))
        with Client(server.port).open() as client:
            for _ in range(2 * MAX_UNREAD):
                client.send(TEXT, b"unread")
                time.sleep(0.002)
            event, count = reports.get()
            assert event == FAILED
            assert MAX_UNREAD <= count < 2 * MAX_UNREAD

    @pytest.mark.parametrize(
        ("last", "code"),
        [(b"", 1006), (frame(CLOSE, b"\x0f\xa0"), 4000)],
        ids=["nothing", "close"],
    )
    def test_loss_that_comes_behind_unread_messages(
        self,
        serve: Serve,
        reports: Reports,
        monkeypatch: pytest.MonkeyPatch,
        last: bytes,
        code: int,
    ) -> None:
        received = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put("accepted")
            await received.wait()
            reports.put([(await receive()).get("text") for _ in range(20)])
            reports.put([(await receive()).get("code") for _ in range(2)])

        monkeypatch.setattr(DaphneAdapter, "max_unread", 4)
        server = serve(app, ping_interval=20)
        with Client(server.port).open() as client:
            assert reports.get() == "accepted"
            connection = connection_to(server)
            client.socket.sendall(frame(TEXT, b"x") * 20 + last)
            wait_until(lambda: connection.application_queue.is_full)
            reset_on_close(client.socket)

        def is_lost() -> bool:
            connection.transport.write(frame(PONG))  # otherwise nobody would notice
            return bool(connection.state == connection.STATE_CLOSED)

        wait_until(lambda: server.run(is_lost))
        server.run(received.set)
        assert reports.get() == ["x"] * 20
        assert reports.get() == [code, code]
