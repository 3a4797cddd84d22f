"""The scope of a WebSocket connection."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

from websockets.http11 import Request


def scope(
    request: Request, transport: asyncio.Transport, extension: dict[str, Any]
) -> dict[str, Any]:
    """Describe a connection to its application."""
    path, _, query = request.path.partition("?")
    offers = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": unquote(path),
        "root_path": "",
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [
            (name.lower().encode(), value.encode("latin-1", "surrogateescape"))
            for name, value in request.headers.raw_items()
        ],
        "client": transport.get_extra_info("peername")[:2],
        "server": transport.get_extra_info("sockname")[:2],
        "subprotocols": [name.strip() for name in offers.split(",") if name.strip()],
        "state": {},
        "extensions": {"websocket.ping": extension} if extension else {},
    }
