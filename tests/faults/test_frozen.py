"""Client processes that are stopped, as debuggers and mobile systems stop them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from asgi_keepalive import KeepaliveTimeout, get_keepalive

from ..conftest import SERVERS, Reports, Serve
from ..support.applications import accept
from ..support.process import stopped
from ..support.server import Server, kernel_sockets, logged, wait_until
from ..support.timeouts import CLOSE_TIMEOUT, FAILED, INTERVAL, LATE, TIMEOUT
from .peer import peer


async def wait(receive: Any, send: Any) -> Any:
    return await receive()


async def stream(receive: Any, send: Any) -> Any:
    try:
        while True:
            await send({"type": "websocket.send", "bytes": bytes(65536)})
            await asyncio.sleep(0.002)
    except KeepaliveTimeout:
        return await receive()


def slowest_answer(server: Server) -> float:
    """Return how long the server has waited for a Pong at most, in seconds."""
    pings, pongs = (
        {record.getMessage().split()[-1]: record.created for record in logged(server, kind)}
        for kind in ("Ping ", "Pong ")
    )
    return max(pongs[payload] - pings[payload] for payload in pongs)


@pytest.mark.parametrize("ws", SERVERS)
@pytest.mark.parametrize("behave", [wait, stream])
class TestStopped:
    def test_for_less_than_the_timeout(self, serve: Serve, reports: Reports, behave: Any) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(get_keepalive(scope))
            await behave(receive, send)

        server = serve(app, ping_timeout=1.5)
        with peer(f"ws://127.0.0.1:{server.port}") as client:
            keepalive = reports.get()
            wait_until(lambda: keepalive.latency)
            with stopped(client):
                time.sleep(0.8)
            time.sleep(1.5 + INTERVAL)
            assert not keepalive.timed_out
            assert slowest_answer(server) > 0.8 - INTERVAL - 0.1

    def test_for_longer(self, serve: Serve, reports: Reports, behave: Any) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put((scope["client"][1], get_keepalive(scope)))
            reports.put((await behave(receive, send), time.monotonic()))

        server = serve(app)
        with peer(f"ws://127.0.0.1:{server.port}") as client:
            port, keepalive = reports.get()
            wait_until(lambda: keepalive.latency)
            with stopped(client):
                began = time.monotonic()
                event, at = reports.get()
                assert event == FAILED
                # A process that is stopped may have room in its kernel for all that streams.
                reasons = {"frozen", "silent"} if behave is stream else {"silent"}
                assert keepalive.verdict.reason in reasons
                assert TIMEOUT - INTERVAL < at - began < INTERVAL + TIMEOUT + LATE
                wait_until(lambda: not kernel_sockets(server.port, port))
                assert time.monotonic() - at < CLOSE_TIMEOUT + LATE
                wait_until(lambda: not server.connections())

    def test_until_it_is_too_late_but_not_for_the_close_frame(
        self, serve: Serve, reports: Reports, behave: Any
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(get_keepalive(scope))
            reports.put(await behave(receive, send))

        server = serve(app, close_timeout=10)
        with peer(f"ws://127.0.0.1:{server.port}") as client:
            keepalive = reports.get()
            wait_until(lambda: keepalive.latency)
            with stopped(client):
                assert reports.get() == FAILED
            assert client.told() == {"code": 1011, "reason": "keepalive ping timeout"}
            client.popen.wait(timeout=5)
            wait_until(lambda: not server.connections(), timeout=1 + LATE)
