"""P5: the peer does not pay for an event loop that stands still."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, frame
from ..support.server import logged
from ..support.timeouts import FAILED, INTERVAL, LATE, TIMEOUT


class TestStalledLoop:
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
