"""The open connections as a page, and as JSON for scripts.

Nothing is exposed unless it is mounted, and then to whoever can reach it: protect it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import sys
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import quote

from ..extension import Receive, Scope, Send
from ..files import Files, begin, path, refused, respond
from ..observers.live import LiveConnection, LiveConnections

PIECE = 100
"""So many connections are written before others have their turn."""


class Dashboard:
    """An ASGI application that shows live connections to whoever can reach it: protect it.

    Example::

        live = LiveConnections()
        app.add_middleware(KeepaliveMiddleware, observers=[live])
        app.mount("/connections", Dashboard(live))

    `connections.json?offset=0&limit=100` has them, slowest first; without `limit` all.

    Args:
        connections: The connections to show.
    """

    def __init__(self, connections: LiveConnections) -> None:
        self._connections = connections
        self._files = Files(__name__, "index.html", "dashboard.js", "dashboard.css")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer GET and HEAD."""
        if await refused(scope, receive, send):
            return
        asked = path(scope)
        if not asked:  # what the page asks for is relative to it
            await respond(scope, send, 307, [(b"location", _name(scope) + b"/")])
        elif asked == "/connections.json":
            await self._tell(scope, send)
        elif asked == "/":
            await self._files({**scope, "path": "/index.html", "root_path": ""}, receive, send)
        else:
            await self._files(scope, receive, send)

    async def _tell(self, scope: Scope, send: Send) -> None:
        window = _window(scope.get("query_string", b""))
        if window is None:
            await respond(scope, send, 400)
            return
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await begin(send, 200, headers)
        if scope["method"] != "HEAD":
            async for piece in self._pieces(*window):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _pieces(self, offset: int, limit: int) -> AsyncIterator[bytes]:
        """Yield the answer; connections by the thousand must not hold up the event loop.

        The first piece is as sorted; meanwhile the latencies of the others may change.
        """
        everything = self._connections.slowest_first()
        late = sum(connection.is_late for connection in everything)
        unsupported = sum(not connection.keepalive.supported for connection in everything)
        failures = [
            {**dataclasses.asdict(failure), "why": str(failure.verdict)}
            for failure in reversed(self._connections.failures)
        ]
        counts = {"total": len(everything), "late": late, "unsupported": unsupported}
        head = {**counts, "failures": failures}
        before = f"{json.dumps(head)[:-1]}, ".encode() + b'"connections": ['
        end = min(offset + limit, len(everything))
        for start in range(offset, end, PIECE):
            yield before + _rows(everything[start : min(start + PIECE, end)])
            before = b", "
            await asyncio.sleep(0)
        yield b"]}" if end > offset else before + b"]}"


def _name(scope: Scope) -> bytes:
    """Return the last segment of the URL; no proxy takes that off."""
    mounted = scope["path"] or scope.get("root_path") or ""
    raw: bytes = scope.get("raw_path") or quote(mounted).encode()
    # It is quoted, as a colon would make a URL scheme of the text before it.
    return quote(raw.partition(b"?")[0].rpartition(b"/")[2], safe="%").encode()


def _rows(connections: Iterable[LiveConnection]) -> bytes:
    return ", ".join(json.dumps(_row(connection)) for connection in connections).encode()


def _row(connection: LiveConnection) -> dict[str, Any]:
    """Return the entry of a connection, with times in seconds."""
    seen = dataclasses.asdict(connection.statistics)
    del seen["last_pong_at"]  # its clock means nothing to others
    return {
        "number": connection.number,
        "client": connection.client,
        "path": connection.path,
        "state": connection.state,
        "age": connection.age,
        "waiting": connection.waiting,
        "last_pong": connection.since_last_pong,
        "ping_interval": connection.keepalive.ping_interval,
        "ping_timeout": connection.keepalive.ping_timeout,
        **seen,
        "recent": list(connection.recent),
    }


def _window(query: bytes) -> tuple[int, int] | None:
    """Return offset and limit, or `None` if they are not numbers."""
    found = {"offset": 0, "limit": sys.maxsize}
    for parameter in query.split(b"&") if query else ():
        asks = re.fullmatch(rb"(offset|limit)=(\d{1,9})", parameter)
        if asks is None:
            return None
        found[asks[1].decode()] = int(asks[2])
    return found["offset"], found["limit"]
