"""Starlette, with the middleware in each of its three places.

    uvicorn examples.starlette_app:app

JSON sent to /ws, /route or /mount/ws comes back with the connection's latency in seconds.
PING_INTERVAL and PING_TIMEOUT in the environment set how often to ask, how long to wait.
"""

from __future__ import annotations

import logging
import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_keepalive import KeepaliveMiddleware

logging.basicConfig(level=logging.INFO)

INTERVAL = float(os.environ.get("PING_INTERVAL", 20))
TIMEOUT = float(os.environ.get("PING_TIMEOUT", 20))


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            data = await websocket.receive_json()
            await websocket.send_json({"echo": data, "latency": websocket.state.keepalive.latency})
    except WebSocketDisconnect as gone:
        logging.info("gone (%s)", gone.code)


# Of two around one connection, the inner one's settings win.
hasty = Middleware(KeepaliveMiddleware, ping_interval=INTERVAL, ping_timeout=TIMEOUT / 2)
patient = Middleware(KeepaliveMiddleware, ping_interval=INTERVAL, ping_timeout=None)

app = Starlette(
    routes=[
        WebSocketRoute("/ws", echo),
        WebSocketRoute("/route", echo, middleware=[hasty]),
        Mount("/mount", routes=[WebSocketRoute("/ws", echo)], middleware=[patient]),
    ],
    middleware=[
        Middleware(KeepaliveMiddleware, ping_interval=INTERVAL, ping_timeout=TIMEOUT),
    ],
)
