"""An application with metrics of Prometheus, also in their multiprocess mode."""

from __future__ import annotations

import os

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from prometheus_client import REGISTRY, CollectorRegistry, make_asgi_app
from prometheus_client.multiprocess import MultiProcessCollector

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.observers.prometheus import PrometheusMetrics

from .app import tell

app = FastAPI()
app.add_middleware(
    KeepaliveMiddleware, ping_interval=0.2, ping_timeout=3, observers=[PrometheusMetrics()]
)

registry = REGISTRY
if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
app.mount("/metrics", make_asgi_app(registry))


@app.websocket("/rooms/{room}")
async def in_room(websocket: WebSocket, room: str) -> None:
    await websocket.accept()
    tell(pid=os.getpid())
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        pass
