"""An application that drains, and tells stdout what became of each of its connections."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Any

from asgi_keepalive import KeepaliveMiddleware, drain

from ..support.applications import accept, lifespan

logging.basicConfig(level=logging.INFO)


def tell(**what: Any) -> None:
    # In one piece: the workers of a server share its stdout.
    os.write(1, json.dumps(what).encode() + b"\n")


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        await drain(float(os.environ["DRAIN_WINDOW"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
    else:
        await websocket(scope, receive, send)


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    tell(opened=scope["path"])
    sent, told = 0, None
    try:
        while told is None:
            if scope["path"] == "/stream":
                await send({"type": "websocket.send", "text": f"{sent} ".ljust(4096)})
                await asyncio.sleep(0.01)
            else:
                event = await receive()
                if event["type"] == "websocket.disconnect":
                    told = event
                    break
                await send({"type": "websocket.send", "text": event["text"]})
            sent += 1
    except OSError:
        told = await receive()
    except asyncio.CancelledError:
        tell(number=scope["query_string"].decode(), sent=sent, code="cancelled")
        raise
    tell(number=scope["query_string"].decode(), sent=sent, code=told["code"])


app = KeepaliveMiddleware(
    application,
    ping_interval=20,
    close_timeout=float(os.environ["CLOSE_TIMEOUT"]),
    drain_window=float(os.environ["DRAIN_WINDOW"]),
)
