"""Floods: what one client may cost the server and the other clients."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import ConnectionClosed, get_keepalive

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import PING, PONG, Client
from ..support.process import ROOT
from ..support.server import freed, logged
from ..support.timeouts import CLOSE_TIMEOUT, FAILED, LATE, TIMEOUT
from ..test_memory import flood
from .differential.frames import raw
from .flooder import ANSWER

pytestmark = pytest.mark.alone

DELAY = 0.1
"""Seconds by which a flood may delay another client's Pong."""


class TestOtherClients:
    @pytest.mark.parametrize("opcode", [PING, PONG], ids=["Pings", "Pongs"])
    def test_flood_delays_no_other_clients_pong(
        self, serve: Serve, ws: str, loop: str, reports: Reports, opcode: int
    ) -> None:
        floods: list[asyncio.Event] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/flood":
                over = asyncio.Event()
                floods.append(over)
                await accept(receive, send)
                assert (await receive())["text"] == "behind the flood"
                await send({"type": "websocket.send", "bytes": ANSWER})
                over.set()
                await receive()
            else:
                await accept(receive, send)
                latencies = []
                with suppress(ConnectionClosed):  # the client is gone once its flood is over
                    while not floods[-1].is_set():
                        latencies.append(await get_keepalive(scope).ping())
                reports.put(latencies)

        def delay() -> float:
            """Flood; return the longest delay of another client's Pong, in seconds."""
            flooder = [sys.executable, "-m", "tests.faults.flooder", str(server.port), str(opcode)]
            done = subprocess.run(flooder, cwd=ROOT, capture_output=True, check=True, timeout=50)
            assert json.loads(done.stdout) == {"last": opcode == PING}
            latencies = reports.get()
            print(ws, loop, opcode, len(latencies), max(latencies))
            return float(max(latencies))

        server = serve(app, ping_interval=None, ping_timeout=10)
        # A loaded machine may delay a Pong, but not in each of several floods.
        assert any(delay() < DELAY for _ in range(3))

    def test_flood_does_not_keep_its_sender_alive(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put((await receive(), time.monotonic()))

        server = serve(app, expect=("unanswered",))
        with Client(server.port).open() as client:
            flood(client, raw(PONG, b"wrong") * 1000, 100_000)
            event, at = reports.get()
            assert event == FAILED
            [ping] = logged(server, "Ping ")
            assert at - ping.at < TIMEOUT + LATE  # type: ignore[attr-defined]
            freed(server, client, CLOSE_TIMEOUT)
