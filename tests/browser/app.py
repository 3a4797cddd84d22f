"""An application for pages: an empty one, and WebSockets that echo."""

from __future__ import annotations

import json
import os
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

import asgi_keepalive.browser
from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.browser.heartbeats import take_nonce

INTERVAL = 0.5
TIMEOUT = float(os.environ.get("PING_TIMEOUT", 1))


async def page(request: Any) -> HTMLResponse:
    return HTMLResponse('<!doctype html><link rel="icon" href="data:,"><title>Test</title>')


async def echo(websocket: WebSocket) -> None:
    """Echo what comes; begin with the query string."""
    await websocket.accept(subprotocol=next(iter(websocket.scope["subprotocols"]), None))
    await websocket.send_text(websocket.scope["query_string"].decode())
    while (event := await websocket.receive())["type"] == "websocket.receive":
        if event.get("text") == "close":
            await websocket.close(4001, "bye")
            return
        if event.get("bytes") is not None:
            await websocket.send_bytes(event["bytes"])
        else:
            await websocket.send_text(event["text"])


async def tell(websocket: WebSocket) -> None:
    """Tell, whenever something comes, how this connection is doing."""
    await websocket.accept()
    async for _ in websocket.iter_text():
        latency = get_keepalive(websocket).latency
        await websocket.send_json([websocket.scope["http_version"], latency is not None])


async def restart(websocket: WebSocket) -> None:
    """Greet, tell in a heartbeat of its own what the query string has, and end as for a restart."""
    nonce, _ = take_nonce(websocket.scope)
    await websocket.accept()
    await websocket.send_text("hello")
    told: dict[str, Any]
    for told in {}, json.loads(websocket.query_params["told"]):
        beat = {"interval": 20, "timeout": 20, "latency": None, **told}
        await websocket.send_text(f"{nonce}{json.dumps(beat)}")
    await websocket.close(1012, "service restart")


routes = [
    Route("/", page),
    WebSocketRoute("/ws", echo),
    WebSocketRoute("/tell", tell),
    WebSocketRoute("/restart", restart),
    Mount("/keepalive", asgi_keepalive.browser.files),
]
plain = Starlette(routes=routes)
SETTINGS: dict[str, Any] = {
    "ping_interval": INTERVAL,
    "ping_timeout": TIMEOUT,
    **json.loads(os.environ.get("SETTINGS", "{}")),
}
app = Starlette(routes=routes, middleware=[Middleware(KeepaliveMiddleware, **SETTINGS)])
