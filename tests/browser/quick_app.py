"""The application for pages, with a server that is soon taken for dead."""

from __future__ import annotations

from asgi_keepalive import KeepaliveMiddleware

from .app import plain

app = KeepaliveMiddleware(plain, ping_interval=0.2, ping_timeout=0.6)
