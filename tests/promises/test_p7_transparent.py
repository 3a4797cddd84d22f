"""P7: all else is as it is without the middleware."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import get_keepalive

from ..conftest import PROTOCOLS, Reports, Serve
from ..support.applications import accept, code_at_exit, echo
from ..support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, close_code
from ..support.server import kernel_sockets, logged, wait_until
from ..support.serving import APPLICATION_FAILED
from ..support.timeouts import FAILED, INTERVAL, LATE, TIMEOUT


class TestTransparent:
    def test_messages_and_their_order(self, serve: Serve, ws: str) -> None:
        first = 1 if ws == "daphne" else 0  # daphne does not send what is empty
        server = serve(echo, ping_interval=0.02)
        with Client(server.port).open() as client:
            sent: list[tuple[int, bytes]] = []
            for number in range(first, 200):
                opcode = TEXT if number % 2 else BINARY
                payload = str(number).encode() * number
                client.send(opcode, payload)
                sent.append((opcode, payload))
            received: list[tuple[int, bytes]] = []
            while len(received) < len(sent):
                opcode, payload = client.receive()
                if opcode == PING:
                    client.send(PONG, payload)
                else:
                    received.append((opcode, payload))
            assert received == sent

    def test_subprotocol_and_headers(self, serve: Serve, ws: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert "websocket.ping" not in scope.get("extensions", {})
            assert scope["subprotocols"] == ["chat"]
            await accept(receive, send, subprotocol="chat", headers=[(b"x-mine", b"1")])
            await receive()

        server = serve(app)
        with Client(server.port, headers="Sec-WebSocket-Protocol: chat\r\n") as client:
            response = client.response().lower()
            assert "sec-websocket-protocol: chat" in response
            assert ("x-mine: 1" in response) is (ws != "daphne")  # which drops them

    def test_rejection_and_denial(self, serve: Serve, ws: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            if scope["path"] == "/403":
                await send({"type": "websocket.close"})
                return
            headers = [(b"content-length", b"2"), (b"content-type", b"text/plain")]
            start = {"type": "websocket.http.response.start", "status": 418, "headers": headers}
            await send(start)
            await send({"type": "websocket.http.response.body", "body": b"no"})

        # uvicorn's own words about a denial response, on one of its protocols.
        server = serve(app, ping_interval=0.02, expect=("without completing handshake",))
        with Client(server.port, path="/403") as client:
            assert " 403 " in client.response()
        if ws in {"daphne", "gunicorn"}:
            return  # of denial responses they know nothing
        with Client(server.port, path="/418") as client:
            assert " 418 " in client.response()
            time.sleep(0.1)
            with suppress(EOFError):
                while True:
                    client._fill()
            assert client.buffer.endswith(b"no")

    def test_unknown_message_meets_the_servers_own_error(
        self, serve: Serve, ws: str, reports: Reports
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                await send({"type": "websocket.nonsense"})
            except Exception as error:  # each server has its own
                reports.put(str(error))
            else:
                reports.put("")

        server = serve(app)
        with Client(server.port).open():
            is_dropped = ws in {"daphne", "gunicorn"}
            assert ("websocket.nonsense" in reports.get()) is not is_dropped

    @pytest.mark.parametrize("code", [1000, 1001, 4321])
    def test_close_codes(self, serve: Serve, ws: str, reports: Reports, code: int) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            event = await receive()
            if event["type"] == "websocket.disconnect":
                reports.put((event["code"], event["reason"]))
            else:
                await send({"type": "websocket.close", "code": code, "reason": "mine"})

        server = serve(app)
        with Client(server.port).open() as client:
            client.send(CLOSE, code.to_bytes(2, "big") + b"theirs")
            assert reports.get() == (code, "theirs")
            # daphne answers every Close alike.
            answer = (1000, "") if ws == "daphne" else (code, "theirs")
            assert close_code(client.expect(CLOSE)) == answer
            assert client.until_end() == []
        if ws == "daphne" and code == 1001:
            return  # it refuses to send that
        with Client(server.port).open() as client:
            client.send(TEXT, b"close")
            reason = "" if ws == "daphne" else "mine"  # it drops an application's reason
            assert close_code(client.expect(CLOSE)) == (code, reason)
            client.send(CLOSE, code.to_bytes(2, "big"))
            assert client.until_end() == []

    def test_exceptions_of_the_application(self, serve: Serve, ws: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            raise ValueError("the application's own")

        server = serve(app, expect=APPLICATION_FAILED)
        with Client(server.port).open() as client:
            client.until_end()
        [record] = [one for text in APPLICATION_FAILED for one in logged(server, text)]
        assert isinstance(record.exc_info, tuple)
        assert str(record.exc_info[1]) == "the application's own"

    def test_messages_that_arrived_before_the_failure(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(INTERVAL + 2 * TIMEOUT)
            assert get_keepalive(scope).timed_out
            reports.put([await receive() for _ in range(5)])

        server = serve(app)
        with Client(server.port).open() as client:
            for number in range(3):
                client.send(TEXT, str(number).encode())
            events = reports.get()
            assert [event.get("text") for event in events[:3]] == ["0", "1", "2"]
            assert events[3:] == [FAILED, FAILED]

    def test_pings_are_not_doubled(self, serve: Serve, ws: str, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            # daphne looks every 2 s whether a Ping is due.
            await asyncio.sleep(2.2 if ws == "daphne" else 0.5)
            await send({"type": "websocket.send", "text": "end"})
            await receive()

        config = {"ws_ping_interval": 0.05, "ws_ping_timeout": 0.05}
        for interval in (None, 10.0):
            server = serve(app, ping_interval=interval, **config)
            with Client(server.port).open() as client:
                assert client.expect(TEXT) == b"end"

    def test_no_pings_before_accept_and_after_close(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await asyncio.sleep(0.2)
            await send({"type": "websocket.accept"})
            await asyncio.sleep(0.1)
            await send({"type": "websocket.close"})
            await asyncio.sleep(0.3)

        server = serve(app, ping_interval=0.05, ping_timeout=5)
        with Client(server.port).open() as client:
            client.expect(PING)
            client.expect(CLOSE)
            client.socket.settimeout(0.2)
            with pytest.raises((TimeoutError, EOFError)):
                client.receive()

    def test_shutdown_with_frozen_peers(self, serve: Serve, ws: str, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            if scope["path"] == "/idle":
                reports.put(await code_at_exit(receive))
                return
            try:
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(65536)})
                    await asyncio.sleep(0)
            except OSError:
                reports.put("released")
            except asyncio.CancelledError:
                reports.put("cancelled")

        server = serve(app, ping_interval=20, ping_timeout=20, close_timeout=0.5)
        with (
            Client(server.port, receive_buffer=4096).open() as frozen,
            Client(server.port, path="/idle").open() as idle,
        ):
            wait_until(lambda: kernel_sockets(server.port, frozen.port)[0][1] > 10_000)
            assert server.stop() < 0.5 + 1 + LATE
            told = {reports.get(), reports.get()}
            assert told == {1012, "released"} or (ws not in PROTOCOLS and told == {"cancelled"})
            assert close_code(idle.expect(CLOSE))[0] == (1011 if ws == "hypercorn" else 1012)
            wait_until(lambda: not kernel_sockets(server.port, frozen.port))

    @pytest.mark.parametrize("failed", [False, True], ids=["closed", "failed"])
    def test_shutdown_while_a_peer_keeps_its_end_open(
        self, serve: Serve, reports: Reports, failed: bool
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put((await receive())["code"])

        server = serve(app, ping_interval=0.05 if failed else None, close_timeout=20)
        with Client(server.port).open() as client:
            if not failed:
                client.send(CLOSE, b"\x03\xe8")
            assert reports.get() == (1011 if failed else 1000)
            assert server.stop() < 1 + LATE
