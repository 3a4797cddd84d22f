"""What one client can make the server hold: P4's bound, and none that plain uvicorn lacks."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from typing import Any

import pytest

from asgi_keepalive.endpoint.closing import BoundedTransport
from asgi_keepalive.endpoint.kernel import reset_on_close

from .conftest import Reports, Serve
from .faults.differential.frames import CONTINUATION, deflated, fragmented, raw
from .support.applications import accept
from .support.client import BINARY, CLOSE, PING, PONG, TEXT, Client
from .support.server import freed
from .support.timeouts import FAILED, TIMEOUT

MEBIBYTE = 2**20
READ = 2**18
"""Bytes that a transport may read at once."""

COMPRESSED = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


def flood(client: Client, data: bytes, times: int, *, patience: float = 0.3) -> bool:
    """Send data again and again; return whether the server takes all of it, without a long wait."""
    client.socket.settimeout(patience)
    try:
        for _ in range(times):
            client.socket.sendall(data)
    except (TimeoutError, ConnectionError):
        return False
    finally:
        client.socket.settimeout(10)
    return True


def peer_port(transport: BoundedTransport) -> int | None:
    """Return the port of a connection's client, as long as it is connected."""
    try:
        port: int = transport.get_extra_info("socket").getpeername()[1]
    except (AttributeError, OSError, ValueError):  # the last of uvloop's
        return None
    return port


async def receive_all(receive: Any) -> tuple[int, Any]:
    """Receive until the end; return the number of messages, and the last event."""
    count = 0
    while (event := await receive())["type"] == "websocket.receive":
        count += 1
    return count, event


async def receive_only(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await receive_all(receive)


class TestMemory:
    """P4's bound: what is unread, plus one read of the transport, decompressed."""

    @pytest.mark.parametrize("max_queue", [32, None])
    @pytest.mark.parametrize("compressed", [False, True], ids=["fragments", "compressed"])
    def test_messages(
        self, serve: Serve, ws: str, reports: Reports, compressed: bool, max_queue: int | None
    ) -> None:
        if ws in {"daphne", "gunicorn"} and (compressed or max_queue is None):
            pytest.skip("it has neither compression nor this setting")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(TIMEOUT)
            while "text" not in (event := await receive()):  # reading pauses, and goes on
                assert event["type"] == "websocket.receive"
            reports.put("behind again")
            await asyncio.sleep(8 * TIMEOUT)  # an application may be behind for twice the timeout
            reports.put(await receive_all(receive))

        size = 100_000
        if compressed:
            message = raw(BINARY, deflated(random.randbytes(1000) * 100), reserved=4)
        else:
            parts = [bytes(size // 2)] * 2
            message = fragmented(BINARY, parts, [raw(PING), raw(PONG)])
        server = serve(
            app,
            ping_timeout=3 * TIMEOUT,
            ws_max_queue=max_queue,
            expect=("application behind",),
        )
        with Client(server.port, headers=COMPRESSED if compressed else "").open() as client:
            client.socket.sendall(message * 40 + raw(TEXT))
            assert reports.get() == "behind again"
            flood(client, message * 10, 100)
            received, event = reports.get()
            assert event == FAILED
            assert received <= 1 + MEBIBYTE // size + 1 + READ // len(message) + 1

    @pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])  # uvicorn keeps them
    def test_fragments_of_one_message(self, serve: Serve) -> None:
        """Each could be an object, which holds far more than its one byte."""
        count = 20_000
        server = serve(receive_only, ping_interval=None)
        with Client(server.port).open() as client:
            data = raw(BINARY, fin=False) + raw(CONTINUATION, b"x", fin=False) * count + raw(PING)
            tracemalloc.start()
            try:
                client.socket.sendall(data)
                client.expect(PONG)
                gc.collect()
                held, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert held < 25 * count

    def test_pongs_for_a_peer_that_reads_nothing(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            while (event := await receive())["type"] == "websocket.receive":
                reports.put(event["text"])

        server = serve(app, ping_interval=None)
        with Client(server.port, receive_buffer=4096).open() as client:
            [transport] = [
                one
                for one in gc.get_objects()
                if type(one) is BoundedTransport and peer_port(one) == client.port
            ]
            taken = flood(client, raw(PING, bytes(125)) * 1000, 100)
            if taken:  # the legacy protocol reads nothing while its own buffer is full
                client.socket.sendall(raw(PING, b"last") + raw(TEXT, b"behind the Pings"))
                assert reports.get() == "behind the Pings"
            assert server.run(transport.get_write_buffer_size) < MEBIBYTE
            while taken and client.expect(PONG) != b"last":
                pass

    @pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
    def test_close_right_behind_a_ping_is_answered(self, serve: Serve) -> None:
        server = serve(receive_only, ping_interval=None, close_timeout=10)
        with Client(server.port, receive_buffer=4096).open() as client:
            assert flood(client, raw(PING, bytes(125)) * 1000, 100, patience=10)
            client.socket.sendall(raw(PING, b"last") + raw(CLOSE, b"\x03\xe8"))
            assert client.until_end()[-1] == (CLOSE, b"\x03\xe8")

    def test_log_of_a_peer_that_resets_a_flood(self, serve: Serve) -> None:
        """asyncio warns of each of several writes to a lost connection."""
        server = serve(receive_only)
        for _ in range(5):
            with Client(server.port).open() as client:
                client.socket.sendall(raw(PING) * 20_000)
                reset_on_close(client.socket)
            freed(server, client, 0)
