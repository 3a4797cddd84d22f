"""What is daphne's alone, on a real one."""

from __future__ import annotations

import asyncio
import queue
import re
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from daphne.ws_protocol import WebSocketProtocol  # type: ignore[import-untyped]

from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.servers import extend
from asgi_keepalive.servers.advice import Advice
from asgi_keepalive.servers.daphne import (
    MAX_UNREAD,
    TOUCHED,
    TOUCHED_SERVER,
    TOUCHED_TCP,
    attach,
)

from .conftest import Reports, Serve
from .support.applications import accept
from .support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, close_code, cut_off, frame
from .support.server import freed, running, wait_until
from .support.serving import serving
from .support.timeouts import CLOSE_TIMEOUT, FAILED, LATE, TIMEOUT

pytestmark = [
    pytest.mark.parametrize("ws", ["daphne"]),
    pytest.mark.parametrize("loop", ["asyncio"]),
]


def connection_of(send: Any) -> Any:
    return send.args[0]


def connection_to(server: Any) -> Any:
    """Return the only connection of a server."""
    [connection] = [one for one in server._server.connections if isinstance(one, WebSocketProtocol)]
    return connection


class TestAttach:
    """Which connections are taken over."""

    def hidden(self, reports: Reports, change: Callable[[Any], None]) -> Any:
        """Return an application that tells what `extend` says after a change."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            change(connection_of(send))
            reports.put(extend(scope, receive, send))
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
            reports.put(extend(scope, receive, send))
            connection_of(send).transport = transports[0]

        with running(serving(app, ws=ws, loop=loop)) as server, Client(server.port):
            assert isinstance(reports.get(), Advice)

    def test_hidden_receive(self, ws: str, loop: str, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(get_keepalive(scope).supported)

        middleware = KeepaliveMiddleware(app)

        async def hiding(scope: Any, receive: Any, send: Any) -> None:
            await middleware(scope, lambda: receive(), send)

        with running(serving(hiding, ws=ws, loop=loop)) as server, Client(server.port).open():
            assert reports.get() is False
            [record] = server.records
            message = record.getMessage()
            assert re.match(r"keepalive is off on daphne 4\.[\d.]+: it is hidden by tests", message)

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


class TestClosing:
    """How a connection ends."""

    @pytest.mark.parametrize("cancelled", [False, True], ids=["returns", "is cancelled"])
    def test_application_that_leaves(self, serve: Serve, cancelled: bool) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            if cancelled:
                raise asyncio.CancelledError

        server = serve(app)
        with Client(server.port).open() as client:
            assert close_code(client.expect(CLOSE)) == (1000, "")
            freed(server, client, CLOSE_TIMEOUT)

    @pytest.mark.parametrize(
        ("closes", "code"),
        [
            (frame(CLOSE), 1005),
            (frame(CLOSE, b"\x03\xe8bye"), 1000),
            (frame(CLOSE, b"\x03\xee"), 1006),  # 1006 itself, which no peer may send
            (b"\xff" * 20, 1006),
        ],
        ids=["no code", "code", "illegal code", "illegal frame"],
    )
    def test_code_of_the_disconnect(
        self, serve: Serve, reports: Reports, closes: bytes, code: int
    ) -> None:
        go_on: list[asyncio.Event] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            go_on.append(asyncio.Event())
            await go_on[0].wait()
            reports.put([await receive() for _ in range(3)])

        server = serve(app)
        with Client(server.port).open() as client:
            wait_until(lambda: go_on)
            client.socket.sendall(frame(TEXT, b"last") + closes)
            client.until_end()
        freed(server, client, 0)
        server.run(go_on[0].set)
        disconnect = {
            "type": "websocket.disconnect",
            "code": code,
            "reason": "bye" if code == 1000 else "",
        }
        message = {"type": "websocket.receive", "text": "last"}
        assert reports.get() == [message, disconnect, disconnect]

    def test_disconnect_does_not_wait_for_tcp(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.send", "bytes": bytes(200_000)})
            reports.put("sent")
            reports.put((await receive(), time.monotonic()))

        server = serve(app, ping_interval=20, close_timeout=3)
        with Client(server.port, receive_buffer=4096).open() as client:
            assert reports.get() == "sent"
            began = time.monotonic()
            client.send(CLOSE, b"\x03\xe8")
            event, at = reports.get()
            assert event["code"] == 1000
            assert at - began < 1
            freed(server, client, 3)

    def test_slow_peer_has_close_timeout_to_answer(self, serve: Serve) -> None:
        """autobahn's own limit is a second."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.close", "code": 3000})

        server = serve(app, close_timeout=10)
        with Client(server.port).open() as client:
            assert close_code(client.expect(CLOSE)) == (3000, "")
            time.sleep(2.2)
            client.send(CLOSE, b"\x0b\xb8")
            with pytest.raises(EOFError):
                client.receive()

    def test_peer_that_vanishes_when_it_is_rejected(self, serve: Serve, reports: Reports) -> None:
        """Then daphne forgets the connection before it is lost."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            reports.put("connected")
            await asyncio.sleep(0.2)
            await send({"type": "websocket.close"})

        server = serve(app)
        with Client(server.port) as client:
            reports.get()
            cut_off(client.socket)
            connection = connection_to(server)
            connection.transport.close_timeout = 2  # which accept would set
            freed(server, client, 2)
            assert connection not in connection.server.connections

    @pytest.mark.parametrize("accepts", [False, True], ids=["connecting", "closing"])
    def test_exit_while_a_connection_is_not_open(
        self, serve: Serve, reports: Reports, accepts: bool
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if accepts:
                await accept(receive, send)
                await send({"type": "websocket.close"})
            reports.put("begun")
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

        server = serve(app, close_timeout=20)
        with Client(server.port) as client:
            assert reports.get() == "begun"
            assert server.stop() < 1 + LATE
            if accepts:
                assert close_code(client.open().expect(CLOSE)) == (1000, "")
            with pytest.raises(EOFError):
                client.receive()

    def test_timeout_of_a_fail_takes_the_place_of_close_timeout(self, ws: str, loop: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            extending = extend(scope, receive, send)
            assert not isinstance(extending, str)
            await accept(extending.receive, extending.send, close_timeout=20)
            extending.fail(4000, "why", 0.2)

        with (
            running(serving(app, ws=ws, loop=loop)) as server,
            Client(server.port).open() as client,
        ):
            freed(server, client, 0.2)

    def test_abort(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put("open")
            reports.put(await receive())

        def is_closing_after_abort() -> bool:
            transport.abort()
            closing: bool = transport.is_closing()
            return closing

        server = serve(app)
        with Client(server.port):
            assert reports.get() == "open"
            transport = connection_to(server).transport
            assert server.run(is_closing_after_abort)
            assert reports.get()["code"] == 1006


class TestTls:
    """Where Twisted's own TLS would wait."""

    def test_autobahn_finds_its_session(
        self, serve: Serve, reports: Reports, tls: ssl.SSLContext, tls_config: dict[str, str]
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put("open")
            await receive()

        server = serve(app, **tls_config)
        with Client(server.port, tls=tls).open():
            assert reports.get() == "open"
            connection = connection_to(server)
            assert connection.transport_details.channel_id.keys() == {"tls-unique"}
            assert connection.is_open.called

    def test_failure_ends_tls(
        self, serve: Serve, tls: ssl.SSLContext, tls_config: dict[str, str]
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await receive()

        server = serve(app, close_timeout=10, **tls_config)
        with Client(server.port, tls=tls).open() as client:
            began = time.monotonic()
            assert close_code(client.until_end()[-1][1]) == (1011, "keepalive ping timeout")
            assert time.monotonic() - began < 2
        freed(server, client, 0)

    def test_close_notify_is_not_waited_for_once_the_peer_has_answered(
        self, serve: Serve, tls: ssl.SSLContext, tls_config: dict[str, str]
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.close"})

        server = serve(app, close_timeout=8, **tls_config)
        with Client(server.port, tls=tls).open() as client:
            client.send(CLOSE, client.expect(CLOSE))
            wait_until(lambda: not server.connections(), 4)
            with pytest.raises(EOFError):
                client.receive()

    def test_peer_that_half_closes_gets_what_is_buffered(
        self, serve: Serve, reports: Reports, tls: ssl.SSLContext, tls_config: dict[str, str]
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            count = 0
            with suppress(OSError):
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(65536)})
                    count += 1
                    reports.put(count)
            reports.put("released")

        server = serve(app, ping_interval=20, close_timeout=10, **tls_config)
        with Client(server.port, receive_buffer=4096, tls=tls).open() as client:
            count = 0
            with suppress(queue.Empty):
                while True:
                    count = reports.get(timeout=0.3)
            assert connection_to(server).transport.get_write_buffer_size()
            socket.socket.shutdown(client.socket, 1)  # an SSLSocket's own ends TLS, too
            assert reports.get() == "released"
            began = time.monotonic()
            assert len(client.until_end()) == count
            assert time.monotonic() - began < 2
        freed(server, client, 0)


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


class TestFraming:
    """What is parsed, and what is not."""

    def test_pong_that_comes_alone_is_not_parsed_by_autobahn(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parsed: list[bytes] = []
        monkeypatch.setattr(
            "asgi_keepalive.servers.daphne.KeepaliveProtocol.onPong",
            lambda self, payload: parsed.append(payload),
        )

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await receive()

        server = serve(app, ping_interval=0.02, ping_timeout=5)
        with Client(server.port).open() as client:
            for _ in range(5):
                client.send(PONG, client.expect(PING))
            assert parsed == []
            payload = client.expect(PING)
            for part in frame(PONG, payload)[:7], frame(PONG, payload)[7:]:
                client.socket.sendall(part)
                time.sleep(0.1)
            assert parsed == [payload]

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
