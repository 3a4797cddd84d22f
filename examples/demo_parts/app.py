"""The application of both servers: the chat of `fastapi_app.py`, a stream, and slow work."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from fastapi_app import Name, app, departure, logger

from asgi_keepalive import Keepalive
from asgi_keepalive.settings import Settings

from . import WORK


@app.websocket("/stream")
async def stream(websocket: WebSocket, name: Name) -> None:
    """Send 256 KiB up to a hundred times a second; never receive."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_bytes(bytes(262_144))
            await asyncio.sleep(0.01)
    except WebSocketDisconnect as gone:
        logger.info("%s %s", name, departure(websocket, gone.code))


@app.websocket("/work")
async def work(websocket: WebSocket, name: Name) -> None:
    """Answer each message after some seconds of work; read no other message meanwhile."""
    await websocket.accept()
    try:
        while True:
            question = await websocket.receive_text()
            await asyncio.sleep(WORK)
            await websocket.send_text(f"answer to {question}")
    except WebSocketDisconnect as gone:
        logger.info("%s %s", name, departure(websocket, gone.code))


def without_middleware() -> Any:
    """Make the second server's application: the same, without `KeepaliveMiddleware`."""
    app.user_middleware.clear()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":  # the chat asks for a latency: there is none
            scope["state"]["keepalive"] = Keepalive(Settings())
        await app(scope, receive, send)

    return application
