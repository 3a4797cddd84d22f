"""An application for servers that run as processes of their own; it tells stdout what it saw."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from asgi_keepalive import KeepaliveMiddleware, get_keepalive

logging.basicConfig(level=logging.INFO)

app = FastAPI()
app.add_middleware(
    KeepaliveMiddleware,
    ping_interval=json.loads(os.environ.get("PING_INTERVAL", "0.2")),
    ping_timeout=json.loads(os.environ.get("PING_TIMEOUT", "0.3")),
    close_timeout=json.loads(os.environ.get("CLOSE_TIMEOUT", "0.5")),
    required=json.loads(os.environ.get("REQUIRED", "false")),
    drain_window=json.loads(os.environ.get("DRAIN_WINDOW", "null")),
)


def tell(**what: Any) -> None:
    # In one piece: the workers of a server share its stdout.
    os.write(1, json.dumps(what).encode() + b"\n")


@app.websocket("/receive")
async def receive(websocket: WebSocket) -> None:
    await websocket.accept()
    keepalive = get_keepalive(websocket)
    tell(supported=keepalive.supported, pid=os.getpid())
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect as disconnect:
        tell(code=disconnect.code, reason=disconnect.reason, timed_out=keepalive.timed_out)


@app.websocket("/stream")
async def stream(websocket: WebSocket) -> None:
    await websocket.accept()
    keepalive = get_keepalive(websocket)
    tell(supported=keepalive.supported, pid=os.getpid())
    try:
        while True:
            await websocket.send_bytes(bytes(65536))
    except WebSocketDisconnect as disconnect:
        tell(code=disconnect.code, timed_out=keepalive.timed_out)


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    tell(supported=get_keepalive(websocket).supported)
    await websocket.send_text(await websocket.receive_text())
    await websocket.close(4000, "mine")
