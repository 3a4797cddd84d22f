"""P2: `send()` is released from a frozen peer, and so is what the kernel holds for it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from asgi_keepalive import KeepaliveTimeout

from ..conftest import Reports, Serve
from ..support.applications import accept, stream
from ..support.client import Client, close_code
from ..support.server import freed, logged
from ..support.timeouts import CLOSE_TIMEOUT, FAILED, LATE, LOGGED, TIMEOUT


class TestBlockedSender:
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
            assert TIMEOUT - LOGGED < at - ping.at < TIMEOUT + LATE  # type: ignore[attr-defined]
            assert reports.get() == [FAILED, FAILED]
            freed(server, client, CLOSE_TIMEOUT)

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
