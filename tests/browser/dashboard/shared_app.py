"""A dashboard of the connections of all processes that use the Redis at `REDIS_URL`."""

from __future__ import annotations

import os
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, WebSocketRoute

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.dashboard import Dashboard
from asgi_keepalive.observers.shared import SharedConnections

from .app import real

times: Any = {"ping_interval": 0.5, "ping_timeout": float(os.environ["PING_TIMEOUT"])}
shared = SharedConnections(os.environ["REDIS_URL"])
app = Starlette(
    routes=[Mount("/connections", Dashboard(shared)), WebSocketRoute("/real", real)],
    middleware=[Middleware(KeepaliveMiddleware, observers=[shared], **times)],
)
