"""P4: an application that is behind with its messages keeps its client, within bounds."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

import pytest

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, frame
from ..support.server import logged, wait_until
from ..support.timeouts import FAILED, TIMEOUT


class TestBusyApplication:
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
        bound = 32 if ws in {"daphne", "gunicorn"} else 4  # they have no setting for it
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
