"""How a connection of daphne's ends."""

from __future__ import annotations

import asyncio
import queue
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive.extension import Server
from asgi_keepalive.servers import find

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import CLOSE, TEXT, Client, close_code, cut_off, frame
from ..support.daphne import connection_to
from ..support.server import freed, running, wait_until
from ..support.serving import serving
from ..support.timeouts import CLOSE_TIMEOUT, LATE

pytestmark = [
    pytest.mark.parametrize("ws", ["daphne"]),
    pytest.mark.parametrize("loop", ["asyncio"]),
]


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
            await send({"type": "websocket.send", "bytes": bytes(40_000)})
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
            server = find(scope, receive, send)
            assert isinstance(server, Server)
            server.extension["bound_closing"](20)
            await accept(server.receive, server.send)
            server.extension["fail"](4000, "why", 0.2)

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
