"""The promises, on each real server and event loop, by plain sockets."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import time
import weakref
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import (
    ConnectionClosed,
    KeepaliveMiddleware,
    KeepaliveTimeout,
    PingTimeout,
    get_keepalive,
)
from asgi_keepalive.servers.uvicorn import sansio, wsproto

from .conftest import PROTOCOLS, Reports, Serve
from .support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, close_code, frame
from .support.server import Server, kernel_sockets, running, wait_until
from .support.serving import APPLICATION_FAILED, serving

INTERVAL = 0.2
TIMEOUT = 0.3
CLOSE_TIMEOUT = 0.5
LATE = 1.0
"""How much later than promised, in seconds, a loaded machine may be."""

FAILED = {"type": "websocket.disconnect", "code": 1011, "reason": "keepalive ping timeout"}


async def accept(receive: Any, send: Any, **keys: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", **keys})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


async def stream(send: Any) -> KeepaliveTimeout:
    """Send until the connection has been failed; return what `send` raised."""
    try:
        while True:
            await send({"type": "websocket.send", "bytes": bytes(65536)})
            await asyncio.sleep(0)
    except KeepaliveTimeout as error:
        return error


async def code_at_exit(receive: Any) -> Any:
    """Return the disconnect's code; the others may cancel their applications instead."""
    try:
        return (await receive())["code"]
    except asyncio.CancelledError:
        return "cancelled"


def logged(server: Server, part: str) -> list[logging.LogRecord]:
    return [record for record in server.records if part in record.getMessage()]


def freed(server: Server, client: Client, within: float) -> None:
    """Wait until neither the server nor the kernel holds anything of a connection."""
    began = time.monotonic()
    wait_until(lambda: not kernel_sockets(server.port, client.port))
    wait_until(lambda: not server.connections())
    assert time.monotonic() - began < within + LATE


class TestIdleAndSilent:
    """P1."""

    def test_application_and_peer_are_told(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            for _ in range(3):
                reports.put((await receive(), time.monotonic()))

        server = serve(app)
        with Client(server.port).open() as client:
            assert len(client.expect(PING)) == 4
            event, at = reports.get()
            assert event == FAILED
            # "Later receive() calls return it again; none hangs."
            assert reports.get()[0] == reports.get()[0] == FAILED
            [ping] = logged(server, "Ping ")
            waited = at - ping.at  # type: ignore[attr-defined]
            assert TIMEOUT - 0.002 < waited < TIMEOUT + LATE
            frames = client.until_end()
            assert [(opcode, close_code(payload)) for opcode, payload in frames] == [
                (CLOSE, (1011, "keepalive ping timeout"))
            ]
            [record] = logged(server, "keepalive ping timeout")
            assert record.levelno == logging.INFO
            assert f"127.0.0.1:{client.port} /: keepalive ping timeout, no Pong for 0." in (
                record.getMessage()
            )
            assert "s, last latency unknown" in record.getMessage()
        freed(server, client, 0)

    def test_log_names_path_and_last_latency(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())

        server = serve(app)
        with Client(server.port, path="/chat").open() as client:
            client.send(PONG, client.expect(PING))
            assert reports.get() == FAILED
            [record] = logged(server, "keepalive ping timeout")
            assert " /chat: " in record.getMessage()
            assert "last latency 0.0" in record.getMessage()

    def test_peer_that_answers_lives(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            keepalive = get_keepalive(scope)
            assert keepalive.latency is None
            event = await receive()
            reports.put((event, keepalive.latency, keepalive.timed_out, keepalive.supported))

        server = serve(app)
        with Client(server.port).open() as client:
            assert client.answer(1.2, delay=0.1) == []
            client.send(TEXT, b"bye")
            event, latency, timed_out, supported = reports.get()
            assert event["text"] == "bye"
            # It may have the Ping before its server, a thread beside it, looks at the clock.
            assert 0.09 <= latency < 0.1 + LATE
            assert not timed_out
            assert supported


class TestBlockedSender:
    """P2 and P3."""

    def test_frozen_peer_releases_send_and_socket(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            sending = 0.0
            try:
                while True:
                    sending = time.monotonic()
                    await send({"type": "websocket.send", "bytes": bytes(65536)})
                    await asyncio.sleep(0)
            except KeepaliveTimeout as error:
                now = time.monotonic()
                reports.put((error, now, now - sending))
            with pytest.raises(KeepaliveTimeout):
                await send({"type": "websocket.send", "text": "x"})
            with pytest.raises(KeepaliveTimeout):
                await send({"type": "websocket.close"})
            reports.put([await receive() for _ in range(2)])

        server = serve(app)
        with Client(server.port, receive_buffer=4096).open() as client:
            error, at, blocked = reports.get()
            assert isinstance(error, KeepaliveTimeout)
            assert error.keepalive.timed_out
            assert blocked > TIMEOUT / 2
            [ping] = logged(server, "Ping ")
            assert TIMEOUT - 0.002 < at - ping.at < TIMEOUT + LATE  # type: ignore[attr-defined]
            assert reports.get() == [FAILED, FAILED]
            freed(server, client, CLOSE_TIMEOUT)

    def test_application_that_only_sends(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                while True:
                    await send({"type": "websocket.send", "text": "tick"})
                    await asyncio.sleep(0.01)
            finally:
                reports.put(get_keepalive(scope).timed_out)

        server = serve(app)
        with Client(server.port).open() as client:
            frames = client.until_end()
            assert reports.get() is True
            assert frames[0] == (TEXT, b"tick")
            assert close_code(frames[-1][1]) == (1011, "keepalive ping timeout")
        freed(server, client, 0)

    def test_two_tasks_sending_at_once(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)

            async def stream() -> None:
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(65536)})
                    await asyncio.sleep(0)

            reports.put(await asyncio.gather(stream(), stream(), return_exceptions=True))

        server = serve(app)
        with Client(server.port, receive_buffer=4096).open() as client:
            assert [type(error) for error in reports.get()] == [KeepaliveTimeout] * 2
            freed(server, client, CLOSE_TIMEOUT)

    def test_close_frame_reaches_a_peer_that_thaws(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await stream(send)
            reports.put("released")

        server = serve(app, close_timeout=10)
        with Client(server.port, receive_buffer=4096).open() as client:
            assert reports.get() == "released"
            frames = client.until_end()
            assert close_code(frames[-1][1]) == (1011, "keepalive ping timeout")
        freed(server, client, 0)


class TestBusyApplication:
    """P4."""

    def test_client_of_a_busy_application_lives(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(5 * TIMEOUT)
            reports.put([(await receive())["text"] for _ in range(20)])

        server = serve(app)
        with Client(server.port).open() as client:
            for number in range(20):
                client.send(TEXT, str(number).encode())
            client.answer(5 * TIMEOUT)
            assert reports.get() == [str(number) for number in range(20)]
        assert not logged(server, "keepalive ping timeout")

    def test_its_own_pings_are_answered(self, serve: Serve) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(1)

        server = serve(app, ping_interval=None)
        with Client(server.port).open() as client:
            client.send(TEXT, b"unread")
            client.send(TEXT, b"unread")
            client.send(PING, b"mine")
            assert client.expect(PONG) == b"mine"

    @pytest.mark.parametrize("size", [10, 100_000])
    def test_flood_is_bounded_and_the_reason_is_logged(
        self, serve: Serve, reports: Reports, size: int
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(5 * TIMEOUT)
            received = 0
            while (event := await receive())["type"] == "websocket.receive":
                received += len(event["bytes"])
            reports.put((event, received))

        server = serve(app, expect=("application behind",))
        with Client(server.port).open() as client:
            client.socket.settimeout(0.2)
            with suppress(TimeoutError, ConnectionError):
                for _ in range(40_000_000 // size):
                    client.socket.sendall(frame(BINARY, bytes(size)) * 10)
            event, received = reports.get()
            assert event == FAILED
            # 32 messages or 1 MiB, what one read of the transport adds, and that decompressed.
            assert received <= max(32 * size, 2**20) + 2**18 + size
            [record] = logged(server, "keepalive ping timeout")
            assert record.levelno == logging.WARNING
            assert "its unread messages have kept the server from reading for" in (
                record.getMessage()
            )

    def test_reading_pauses_at_the_bound_and_resumes_at_half(
        self, serve: Serve, ws: str, reports: Reports
    ) -> None:
        bound = 32 if ws == "daphne" else 4  # daphne has no setting for it
        enough = bound - bound // 2 + 1
        go_on: list[asyncio.Event] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            go_on.extend([asyncio.Event(), asyncio.Event()])
            await go_on[0].wait()
            reports.put([(await receive())["text"] for _ in range(enough)])
            await go_on[1].wait()
            while (await receive())["type"] == "websocket.receive":
                pass

        server = serve(app, ping_interval=None, ws_max_queue=bound)
        with Client(server.port).open() as client:
            client.send(PING, b"first")
            assert client.expect(PONG) == b"first"
            # Pings tell whether the server reads; only the legacy protocol reads one frame more.
            for number in range(bound + 1):
                client.send(TEXT, str(number).encode())
            time.sleep(0.2)  # for the server not to read the Ping together with them
            client.socket.settimeout(0.2)
            client.send(PING, b"second")
            with pytest.raises(TimeoutError):
                client.receive()
            client.socket.settimeout(10)
            server.run(go_on[0].set)
            assert client.expect(PONG) == b"second"
            assert reports.get() == [str(number) for number in range(enough)]
            server.run(go_on[1].set)

    def test_nothing_is_lost_over_many_pauses(self, serve: Serve, reports: Reports) -> None:
        go_on: list[asyncio.Event] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            go_on.append(asyncio.Event())
            await go_on[0].wait()
            count = 0
            while (await receive())["type"] == "websocket.receive":
                count += 1
            reports.put(count)

        server = serve(app, ping_interval=None, ws_max_queue=4)
        with Client(server.port).open() as client:
            wait_until(lambda: go_on)
            for number in range(2000):
                client.send(TEXT, str(number).encode())
            server.run(go_on[0].set)
            client.send(CLOSE, b"\x03\xe8")
            assert reports.get() == 2000
            client.until_end()

    def test_text_counts_by_its_bytes(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(0.3)
            received = 0
            while (event := await receive())["type"] == "websocket.receive":
                received += len(event["text"])
            reports.put(received)

        server = serve(app, ping_interval=None)
        with Client(server.port).open() as client:
            for _ in range(30):
                client.send(TEXT, "\N{SNOWMAN}".encode() * 30_000)
            client.send(CLOSE, b"\x03\xe8")
            assert reports.get() == 900_000
            client.until_end()


class TestStalledLoop:
    """P5."""

    @pytest.mark.parametrize("stall", [1.1 * TIMEOUT, 3 * TIMEOUT])
    @pytest.mark.parametrize("queued", [0, 2_000_000])
    def test_pong_behind_a_stall_counts(
        self, serve: Serve, reports: Reports, stall: float, queued: int
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            assert (await receive())["text"] == "stall"
            time.sleep(stall)  # noqa: ASYNC251 - that is the point
            received = 0
            while (event := await receive())["type"] == "websocket.receive":
                received += len(event.get("bytes") or "")
            reports.put((event, received))

        server = serve(app, ping_interval=INTERVAL)
        with Client(server.port).open() as client:
            ping = client.expect(PING)
            client.send(TEXT, b"stall")
            client.socket.sendall(frame(BINARY, bytes(20_000)) * (queued // 20_000))
            client.send(PONG, ping)
            client.answer(stall + TIMEOUT)
            client.send(CLOSE, b"\x03\xe8")
            event, received = reports.get()
            assert event["code"] == 1000
            assert received == queued

    def test_stall_does_not_save_a_dead_peer(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            assert (await receive())["text"] == "stall"
            time.sleep(2 * TIMEOUT)  # noqa: ASYNC251 - that is the point
            began = time.monotonic()
            reports.put((await receive(), time.monotonic() - began))

        server = serve(app)
        with Client(server.port).open() as client:
            client.expect(PING)
            client.send(TEXT, b"stall")
            event, waited = reports.get()
            assert event == FAILED
            assert waited < TIMEOUT + LATE
            [record] = logged(server, "keepalive ping timeout")
            assert record.levelno == logging.WARNING


class TestOnlyARealPong:
    """P6."""

    @pytest.mark.parametrize("wrong", [b"", b"\0\0\0\0", b"never sent" * 10])
    def test_wrong_pong(self, serve: Serve, reports: Reports, wrong: bytes) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())

        server = serve(app, expect=("unanswered",))
        with Client(server.port).open() as client:
            client.send(PONG, wrong)
            client.expect(PING)
            client.send(PONG, wrong)
            assert reports.get() == FAILED
            client.expect(CLOSE)  # rather than a second Ping

    @pytest.mark.parametrize("before", [2, 6, 10])
    def test_part_of_a_message_that_looks_like_a_pong(
        self, serve: Serve, reports: Reports, before: int
    ) -> None:
        """Nor is the message any the worse for it."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put((await receive())["bytes"])
            reports.put(get_keepalive(scope).latency)
            await receive()

        server = serve(app, ping_timeout=10)
        with Client(server.port).open() as client:
            pong = frame(PONG, client.expect(PING))
            head = bytes([0x82, 0x80 + 20, 0, 0, 0, 0])[:before].ljust(before, b"x")
            message = (head + pong).ljust(6 + 20, b"x")
            for part in message[:before], pong, message[before + len(pong) :]:
                client.socket.sendall(part)
                time.sleep(0.1)  # so that each part is a read of its own
            mask, payload = message[2:6], message[6:]
            unmasked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
            assert reports.get() == unmasked
            assert reports.get() is None

    @pytest.mark.parametrize("module", [sansio, wsproto])
    def test_pong_that_comes_alone_is_not_parsed_by_the_library(
        self, loop: str, module: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parsed: list[Any] = []
        monkeypatch.setattr(module.KeepaliveProtocol, "handle_pong", lambda *a: parsed.append(a))
        app = KeepaliveMiddleware(echo, ping_interval=0.02, ping_timeout=5)
        ws = "wsproto" if module is wsproto else "websockets-sansio"
        with (
            running(serving(app, ws=ws, loop=loop)) as server,
            Client(server.port).open() as client,
        ):
            for _ in range(5):
                client.send(PONG, client.expect(PING))
            assert parsed == []
            ping = frame(PONG, client.expect(PING))
            for part in ping[:7], ping[7:]:
                client.socket.sendall(part)
                time.sleep(0.1)
            assert len(parsed) == 1

    @pytest.mark.parametrize("module", [sansio, wsproto])
    def test_library_that_is_different_inside(
        self, loop: str, module: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unknown(protocol: Any) -> bool:
            raise AttributeError

        monkeypatch.setattr(module.KeepaliveProtocol, "is_between_frames", unknown)
        app = KeepaliveMiddleware(echo, ping_interval=0.02, ping_timeout=0.5)
        ws = "wsproto" if module is wsproto else "websockets-sansio"
        with (
            running(serving(app, ws=ws, loop=loop)) as server,
            Client(server.port).open() as client,
        ):
            client.answer(1)
            client.send(TEXT, b"alive")
            while (frame := client.receive())[0] == PING:
                client.send(PONG, frame[1])
            assert frame == (TEXT, b"alive")

    def test_late_pong_changes_nothing(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())
            await asyncio.sleep(0.2)
            reports.put((await receive(), get_keepalive(scope).latency))

        server = serve(app, close_timeout=2)
        with Client(server.port).open() as client:
            ping = client.expect(PING)
            assert reports.get() == FAILED
            client.send(PONG, ping)
            client.send(TEXT, b"too late")
            assert reports.get() == (FAILED, None)

    def test_payloads_are_random_and_one_ping_is_in_flight(self, serve: Serve) -> None:
        server = serve(echo, ping_interval=0.02, ping_timeout=5)
        with Client(server.port).open() as client:
            client.socket.settimeout(0.3)
            payloads = [client.expect(PING)]
            with pytest.raises(TimeoutError):
                client.receive()
            for _ in range(10):
                client.send(PONG, payloads[-1])
                payloads.append(client.expect(PING))
            assert len(set(payloads)) == 11

    def test_without_timeout_pings_go_on(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await receive()
            reports.put(get_keepalive(scope).latency)

        server = serve(app, ping_interval=0.05, ping_timeout=None)
        with Client(server.port).open() as client:
            payloads = [client.expect(PING) for _ in range(5)]
            client.send(PONG, payloads[2])  # acknowledges the earlier ones, too
            client.send(PONG, payloads[0])
            client.send(TEXT, b"x")
            assert 0.1 - LATE < reports.get() < 0.1 + LATE

    def test_manual_pings(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            keepalive = get_keepalive(scope)
            with pytest.raises(ConnectionClosed):
                await keepalive.ping()
            await accept(receive, send)
            latencies = await asyncio.gather(keepalive.ping(), keepalive.ping())
            reports.put((latencies, keepalive.latency))
            with pytest.raises(PingTimeout, match=r"^no Pong for 0\.\d+ s$"):
                await keepalive.ping()
            await send({"type": "websocket.send", "text": "still open"})
            waiting = asyncio.ensure_future(keepalive.ping())
            await asyncio.sleep(0.05)
            await send({"type": "websocket.close", "code": 4000})
            with pytest.raises(ConnectionClosed):
                await waiting
            with pytest.raises(ConnectionClosed):
                await keepalive.ping()
            reports.put("done")

        server = serve(app, ping_interval=None)
        with Client(server.port).open() as client:
            first, second = client.expect(PING), client.expect(PING)
            client.send(PONG, second)
            (latency, _), last = reports.get()
            assert 0 < latency < LATE
            assert last > 0
            assert first != second
            client.expect(PING)
            assert client.expect(TEXT) == b"still open"
            client.expect(PING)
            assert close_code(client.expect(CLOSE)) == (4000, "")
            client.send(CLOSE, b"\x0f\xa0")
            assert reports.get() == "done"

    def test_manual_ping_ends_with_the_connection(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                await get_keepalive(scope).ping()
            except ConnectionError as error:
                reports.put(type(error))

        server = serve(app, ping_interval=None, ping_timeout=None)
        with Client(server.port).open() as client:
            client.expect(PING)
            client.send(CLOSE, b"\x03\xe8")
            assert reports.get() is ConnectionClosed
        server2 = serve(app)
        with Client(server2.port).open() as client:
            client.expect(PING)
            client.expect(PING)
        assert reports.get() in (ConnectionClosed, KeepaliveTimeout)


class TestTransparent:
    """P7."""

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
        if ws == "daphne":
            return  # of denial responses it knows nothing
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
            assert ("websocket.nonsense" in reports.get()) is (ws != "daphne")  # which drops it

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
            wait_until(lambda: kernel_sockets(server.port, frozen.port)[0][1] > 100_000)
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


class TestNothingLeftBehind:
    """P8."""

    def test_no_timer_task_or_reference(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            reports.put((weakref.ref(receive.__self__), get_keepalive(scope)))
            await accept(receive, send)
            await receive()

        def tasks() -> int:
            gc.collect()
            return len(asyncio.all_tasks(server.loop))

        server = serve(app, ping_interval=20)
        own = server.run(tasks)
        with Client(server.port).open() as client:
            connection, keepalive = reports.get()
            wait_until(lambda: connection()._timer)
            client.send(CLOSE, b"\x03\xe8")
            client.until_end()
        freed(server, client, 0)
        wait_until(lambda: server.run(tasks) == own)
        assert connection() is None
        assert keepalive.latency is None
        from asgi_keepalive import stall

        assert not stall._watches

    @pytest.mark.parametrize("close", [False, True], ids=["returns", "closes"])
    def test_application_that_gives_up_on_a_frozen_peer(
        self, serve: Serve, reports: Reports, close: bool
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            with suppress(TimeoutError):
                while True:
                    sending = send({"type": "websocket.send", "bytes": bytes(65536)})
                    await asyncio.wait_for(sending, 0.1)
            reports.put("gave up")
            if close:
                with suppress(OSError):
                    await send({"type": "websocket.close"})
            reports.put("returns")

        server = serve(app, ping_interval=20)
        with Client(server.port, receive_buffer=4096).open() as client:
            assert reports.get() == "gave up"
            freed(server, client, CLOSE_TIMEOUT)
            assert reports.get() == "returns"

    def test_frozen_peer_whose_data_is_all_in_the_kernel(
        self, serve: Serve, reports: Reports
    ) -> None:
        """The user-space buffer is empty, so closing would give the descriptor up at once."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.send", "bytes": bytes(200_000)})
            await asyncio.sleep(0.1)
            reports.put("returns")

        server = serve(app, ping_interval=20)
        with Client(server.port, receive_buffer=4096).open() as client:
            assert reports.get() == "returns"
            assert kernel_sockets(server.port, client.port)[0][1] > 100_000
            freed(server, client, CLOSE_TIMEOUT)

    def test_peer_that_half_closes_while_the_kernel_holds_its_data(
        self, serve: Serve, reports: Reports
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.send", "bytes": bytes(200_000)})
            reports.put((await receive())["type"])

        server = serve(app, ping_interval=20)
        with Client(server.port, receive_buffer=4096).open() as client:
            wait_until(lambda: kernel_sockets(server.port, client.port)[0][1] > 100_000)
            client.socket.shutdown(1)
            freed(server, client, CLOSE_TIMEOUT)
            assert reports.get() == "websocket.disconnect"

    def test_peer_that_half_closes_reads_on(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.send", "bytes": bytes(500_000)})
            reports.put((await receive())["type"])

        server = serve(app, ping_interval=20, close_timeout=10)
        with Client(server.port, receive_buffer=4096).open() as client:
            wait_until(lambda: kernel_sockets(server.port, client.port)[0][1] > 100_000)
            client.socket.shutdown(1)
            assert client.receive() == (BINARY, bytes(500_000))
            assert reports.get() == "websocket.disconnect"
            freed(server, client, 0)

    @pytest.mark.parametrize("reads", [False, True], ids=["freezes", "reads"])
    def test_peer_that_half_closes_while_data_streams_to_it(
        self, serve: Serve, reports: Reports, reads: bool
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                while True:  # suspended by nothing but back-pressure
                    await send({"type": "websocket.send", "bytes": bytes(65536)})
            except OSError:
                reports.put("released")

        server = serve(app, ping_interval=20)
        with Client(server.port, receive_buffer=4096).open() as client:
            wait_until(lambda: kernel_sockets(server.port, client.port)[0][1] > 100_000)
            client.socket.shutdown(1)
            if reads:
                client.until_end()
            else:
                freed(server, client, CLOSE_TIMEOUT)
            assert reports.get() == "released"

    def test_peer_gone_in_mid_handshake(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            reports.put("connected")
            await asyncio.sleep(0.2)
            with suppress(OSError):
                await send({"type": "websocket.accept"})
            reports.put(await receive())
            await asyncio.sleep(0.2)

        # uvicorn's own words where the handshake could not be completed.
        server = serve(app, ping_interval=0.05, expect=("without completing handshake",))
        with Client(server.port) as client:
            reports.get()
        assert reports.get()["type"] == "websocket.disconnect"
        freed(server, client, 0.4)

    def test_application_that_sends_to_a_peer_that_has_gone(
        self, serve: Serve, reports: Reports
    ) -> None:
        """It is told by an `OSError`, and need not catch that."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                while True:
                    await send({"type": "websocket.send", "text": "x"})
                    await asyncio.sleep(0.01)
            finally:
                reports.put(sys.exc_info()[0])

        server = serve(app)
        with Client(server.port).open() as client:
            client.expect(TEXT)
        assert issubclass(reports.get(), OSError)
        freed(server, client, 0)

    def test_peer_cut_off_in_mid_frame(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())

        server = serve(app)
        with Client(server.port).open() as client:
            client.socket.sendall(frame(TEXT, b"x" * 100)[:50])
            assert reports.get() == FAILED
        freed(server, client, 0)

    @pytest.mark.parametrize("opcode", [PING, PONG])
    def test_flood_of_control_frames(self, serve: Serve, opcode: int) -> None:
        server = serve(echo)
        with Client(server.port).open() as flooding, Client(server.port).open() as other:
            flooding.socket.settimeout(0.2)
            with suppress(TimeoutError):
                for _ in range(100):
                    flooding.socket.sendall(frame(opcode, b"flood") * 100)
            other.answer(2 * TIMEOUT)
            other.send(TEXT, b"alive")
            assert other.answer_until(TEXT) == b"alive"

    def test_own_timeout_leaving_the_application_is_swallowed(
        self, serve: Serve, reports: Reports
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(2):
                        tasks.create_task(stream(send))
            finally:
                reports.put("raised")

        async def stream(send: Any) -> None:
            while True:
                await send({"type": "websocket.send", "text": "x"})
                await asyncio.sleep(0.01)

        server = serve(app)
        with Client(server.port).open() as client:
            client.until_end()
            assert reports.get() == "raised"
