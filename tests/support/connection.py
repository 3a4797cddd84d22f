"""Settings for one connection on the fake loop, and what may happen to it there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from .fake_loop import FakeServer, elapsed

TIMES: dict[str, Any] = {"ping_interval": 20, "ping_timeout": 10}
"""A Ping is due at 20, and its Pong overdue at 30."""


CLOSED = (
    "the connection is closing or closed, so no Pong will come: catch ConnectionClosed, "
    "as a client may leave at any time"
)
"""`Keepalive.ping` raises a `ConnectionClosed` that says so."""


async def outcome(awaitable: Awaitable[Any]) -> Any:
    """Return the result, or the exception."""
    try:
        return await awaitable
    except BaseException as error:
        return error


async def paused(server: FakeServer, begin: float, end: float) -> None:
    """Let the server not read for a while, as too much is unread."""
    await asyncio.sleep(begin - elapsed())
    server.on_read_paused(True, time.monotonic())
    await asyncio.sleep(end - elapsed())
    if server.on_read_paused is not None:  # the connection has not been failed
        server.on_read_paused(False, time.monotonic())


async def until_failed(server: FakeServer) -> None:
    await asyncio.sleep(30 - elapsed())
    assert server.failed_at == 30
