"""Quart, with the middleware around its `asgi_app`.

    uvicorn examples.quart_app:app

JSON sent to /ws comes back with the connection's latency in seconds. PING_INTERVAL and
PING_TIMEOUT in the environment set how often to ask, how long to wait.
"""

from __future__ import annotations

import logging
import os

from quart import Quart, websocket

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout, get_keepalive

logging.basicConfig(level=logging.INFO)

app = Quart(__name__)


@app.websocket("/ws")
async def echo() -> None:
    keepalive = get_keepalive(websocket)
    try:
        while True:
            data = await websocket.receive_json()
            await websocket.send_json({"echo": data, "latency": keepalive.latency})
    except KeepaliveTimeout:
        pass  # from a `send_json` that had to wait; Quart would log it as an error
    finally:  # otherwise Quart cancels the handler, whatever the reason
        logging.info("gone (%s)", "timed out" if keepalive.timed_out else "left")


app.asgi_app = KeepaliveMiddleware(  # type: ignore[method-assign, assignment]
    app.asgi_app,
    ping_interval=float(os.environ.get("PING_INTERVAL", 20)),
    ping_timeout=float(os.environ.get("PING_TIMEOUT", 20)),
)
