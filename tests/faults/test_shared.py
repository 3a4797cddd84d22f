"""The view of all processes while workers are killed, and Redis is stopped and comes back empty."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from asgi_keepalive.observers.shared import SharedConnections

from ..support.client import PING, PONG, Client
from ..support.process import Process, started, uvicorn
from ..support.redis import RedisServer, redis_server
from ..support.shared import counted, on_a_loop, seen

APP = "tests.support.shared_app:app"
INTERVAL = 0.2
EXPIRY = 2.0

COMMANDS = {
    "uvicorn": uvicorn("--workers", "2", app=APP),
    "gunicorn": [
        *(sys.executable, "-m", "gunicorn", APP, "--worker-class", "asgi", "--workers", "2"),
        *("--bind", "127.0.0.1:PORT", "--preload", "--graceful-timeout", "2"),
    ],
    # Of several workers it ends all when one of them dies.
    "hypercorn": [sys.executable, "-m", "hypercorn", APP, "--bind", "127.0.0.1:PORT"],
    "daphne": [sys.executable, "-m", "daphne", APP, "--port", "PORT"],
}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(params=COMMANDS)
def process(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[Process]:
    settings = {"PING_INTERVAL": str(INTERVAL), "EXPIRY": str(EXPIRY)}
    with started(*COMMANDS[request.param], REDIS_URL=server.url, **settings) as process:
        yield process
    assert "Task was destroyed" not in process.output
    assert "never awaited" not in process.output
    assert process.output.count("is lost") <= 2 * 2  # twice in each worker
    if request.param != "hypercorn":  # which lets asyncio tell of each task that it cancels
        assert "Traceback" not in process.output


def longest_gap(client: Client, seconds: float) -> float:
    """Answer Pings, and return the longest time between two of them."""
    client.send(PONG, client.expect(PING))
    last = began = time.monotonic()
    longest = 0.0
    while last < began + seconds:
        client.send(PONG, client.expect(PING))
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest


@on_a_loop
async def test_view(process: Process, server: RedisServer) -> None:
    shared = SharedConnections(server.url)
    with ExitStack() as stack:

        def connect(path: str) -> Client:
            return stack.enter_context(Client(process.port, path=path).open())

        leaves, *clients = [connect(f"/{number}") for number in range(8)]
        paths = [f"/{number}" for number in range(8)]
        await seen(shared, *paths)

        with server.stopped():
            leaves.close()
            connect("/8")
            assert await asyncio.to_thread(longest_gap, clients[0], 3) < INTERVAL + 0.5
        paths = [*paths[1:], "/8"]
        began = time.monotonic()
        found = await seen(shared, *paths)
        assert time.monotonic() - began < 2.5

        server.kill()
        await asyncio.sleep(1.5)
        server.start()
        began = time.monotonic()
        await seen(shared, *paths)
        assert time.monotonic() - began < 2.5

        killed = found[0].pid
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        left = [one.path for one in found if one.pid != killed]
        await seen(shared, *left)
        assert time.monotonic() - began < EXPIRY + 0.5
        await counted(len(left), shared)
