"""Litestar, with the middleware around it.

    uvicorn examples.litestar_app:app

JSON sent to /ws comes back with the connection's latency in seconds. PING_INTERVAL and
PING_TIMEOUT in the environment set how often to ask, how long to wait.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from litestar import Litestar, WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout

logging.basicConfig(level=logging.INFO)


@websocket("/ws")
async def echo(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    try:
        while True:
            data = await socket.receive_json()
            await socket.send_json({"echo": data, "latency": socket.state.keepalive.latency})
    except WebSocketDisconnect as gone:
        logging.info("gone (%s)", gone.code)
    except KeepaliveTimeout:  # from a `send_json` that had to wait
        logging.info("gone (1011)")


app = KeepaliveMiddleware(
    Litestar([echo]),
    ping_interval=float(os.environ.get("PING_INTERVAL", 20)),
    ping_timeout=float(os.environ.get("PING_TIMEOUT", 20)),
)
