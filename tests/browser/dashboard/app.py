"""A dashboard of thousands of connections whose latencies change, and of a few real ones."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_keepalive import Keepalive, KeepaliveMiddleware
from asgi_keepalive.dashboard import Dashboard
from asgi_keepalive.observers.live import LiveConnection, LiveConnections
from asgi_keepalive.settings import Settings

OTHERS = 2000

HOSTILE = "/others/<img src=x onerror='hacked=1'><b>"
"""Paths begin with it, as clients choose them."""

live = LiveConnections()


def connection(number: int) -> LiveConnection:
    keepalive = Keepalive(Settings())
    keepalive._supported = True
    scope = {
        "client": ("192.0.2.1", number),
        "path": f"{HOSTILE}{number}",
        "state": {"keepalive": keepalive},
    }
    made = live(scope)
    made.opened()
    return made


def pong(one: LiveConnection, latency: float) -> None:
    one.pinged()
    one.keepalive._round_trips.add(latency, time.monotonic())
    one.ponged(latency)


async def go_on() -> None:
    others = [connection(number) for number in range(OTHERS)]
    for one, (number, _) in itertools.product(others, enumerate(range(8))):
        pong(one, (one.number % 400 + 10 * (number % 3) + 1) / 1000)
    for one in itertools.cycle(others):
        pong(one, (one.number % 400 + 10 * (one.statistics.count % 3) + 1) / 1000)
        if not one.number % 20:
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    going_on = asyncio.create_task(go_on())
    yield
    going_on.cancel()


async def real(websocket: WebSocket) -> None:
    await websocket.accept()
    async for _ in websocket.iter_text():
        pass


async def protected(scope: Any, receive: Any, send: Any) -> None:
    """Show the dashboard to staff:secret (RFC 7617)."""
    if dict(scope["headers"]).get(b"authorization") == b"Basic c3RhZmY6c2VjcmV0":
        await dashboard(scope, receive, send)
    else:
        await Response(status_code=401, headers={"www-authenticate": "Basic"})(scope, receive, send)


dashboard = Dashboard(live)
app = Starlette(
    lifespan=lifespan,
    routes=[
        Mount("/connections", dashboard),
        Mount("/protected", protected),
        WebSocketRoute("/real", real),
    ],
    middleware=[
        Middleware(KeepaliveMiddleware, ping_interval=0.2, ping_timeout=5, observers=[live])
    ],
)
