"""An application whose open connections are known to all processes, by the Redis at `REDIS_URL`."""

from __future__ import annotations

import os
from typing import Any

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.observers.shared import SharedConnections

from .applications import accept, lifespan


async def handler(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await accept(receive, send)
    while (await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": "echo"})


shared = SharedConnections(os.environ["REDIS_URL"], _expiry=float(os.environ["EXPIRY"]))
app = KeepaliveMiddleware(
    handler,
    observers=[shared],
    ping_interval=float(os.environ["PING_INTERVAL"]),
    close_timeout=1,
)
