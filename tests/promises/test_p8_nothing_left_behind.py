"""P8: after a connection nothing of it remains."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import crowd, get_keepalive

from ..conftest import Reports, Serve
from ..support.applications import accept, echo
from ..support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, frame
from ..support.server import freed, kernel_sockets, wait_until
from ..support.timeouts import CLOSE_TIMEOUT, FAILED, TIMEOUT


class TestNothingLeftBehind:
    def test_no_timer_task_or_reference(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            reports.put((weakref.ref(receive.__self__._connection), get_keepalive(scope)))
            await accept(receive, send)
            await receive()

        def tasks() -> int:
            gc.collect()
            return len(asyncio.all_tasks(server.loop))

        gc.collect()  # what other tests have left is not this server's
        server = serve(app, ping_interval=20)
        own = server.run(tasks)
        with Client(server.port).open() as client:
            connection, keepalive = reports.get()
            wait_until(lambda: connection().timer.crowd)
            client.send(CLOSE, b"\x03\xe8")
            client.until_end()
        freed(server, client, 0)
        wait_until(lambda: server.run(tasks) == own)
        assert connection() is None
        assert keepalive.latency is None
        assert not crowd._crowds

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
            await send({"type": "websocket.send", "bytes": bytes(40_000)})
            await asyncio.sleep(0.1)
            reports.put("returns")

        server = serve(app, ping_interval=20)
        with Client(server.port, receive_buffer=4096).open() as client:
            assert reports.get() == "returns"
            assert kernel_sockets(server.port, client.port)[0][1] > 10_000
            freed(server, client, CLOSE_TIMEOUT)

    def test_peer_that_half_closes_while_the_kernel_holds_its_data(
        self, serve: Serve, reports: Reports
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.send", "bytes": bytes(40_000)})
            reports.put((await receive())["type"])

        server = serve(app, ping_interval=20)
        with Client(server.port, receive_buffer=4096).open() as client:
            wait_until(lambda: kernel_sockets(server.port, client.port)[0][1] > 10_000)
            client.socket.shutdown(1)
            freed(server, client, CLOSE_TIMEOUT)
            assert reports.get() == "websocket.disconnect"

    def test_peer_that_half_closes_reads_on(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.send", "bytes": bytes(40_000)})
            reports.put((await receive())["type"])

        server = serve(app, ping_interval=20, close_timeout=10)
        with Client(server.port, receive_buffer=4096).open() as client:
            wait_until(lambda: kernel_sockets(server.port, client.port)[0][1] > 10_000)
            client.socket.shutdown(1)
            assert client.receive() == (BINARY, bytes(40_000))
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
            wait_until(lambda: kernel_sockets(server.port, client.port)[0][1] > 10_000)
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
        # The one that floods answers no Ping, and something of it may come after a Ping.
        server = serve(echo, expect=("keepalive ping timeout",))
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
