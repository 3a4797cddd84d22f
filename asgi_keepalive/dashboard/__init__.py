"""The open connections as a page, and as JSON for scripts.

Nothing is exposed unless it is mounted, and then to whoever can reach it: protect it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import quote

from ..extension import Receive, Scope, Send
from ..files import Files, begin, path, refused, respond
from ..observers.live import Failure, LiveConnection, LiveConnections
from ..text import shown
from . import telling
from .query import Query, parse
from .shared import SharedView, Snapshot
from .view import View

if TYPE_CHECKING:
    from ..observers.shared import SharedConnection, SharedConnections, SharedFailure

PIECE = 20
"""So many connections are written before others have their turn."""

FILES = (
    *("index.html", "dashboard.css", "dashboard.js"),
    *("charts.js", "details.js", "format.js", "table.js"),
)


class Dashboard:
    """An ASGI application that shows open connections to whoever can reach it: protect it.

    Example::

        live = LiveConnections()
        app.add_middleware(KeepaliveMiddleware, observers=[live])
        app.mount("/connections", Dashboard(live))

    `connections.json?offset=0&limit=100` has them, slowest first; without `limit` all.

    Args:
        connections: The connections to show: those of this process, or of all.

    Raises:
        TypeError: It is something else.
    """

    def __init__(self, connections: LiveConnections | SharedConnections) -> None:
        self._view: View | SharedView
        if isinstance(connections, LiveConnections):
            self._live = connections
            self._view = View(connections)
        elif _is_shared(connections):
            self._live = connections.live
            self._view = SharedView(connections)
        else:
            raise TypeError(
                "Dashboard shows the LiveConnections() or SharedConnections() that "
                f"KeepaliveMiddleware has among its observers, not {shown(connections)}"
            )
        self._files = Files(__name__, *FILES)

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
        query = parse(scope.get("query_string", b""))
        if query is None:
            await respond(scope, send, 400)
            return
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await begin(send, 200, headers)
        if scope["method"] != "HEAD":
            async for piece in self._pieces(query):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _pieces(self, query: Query) -> AsyncIterator[bytes]:
        """Yield the answer; connections by the thousand must not hold up the event loop.

        The first piece is as sorted; meanwhile the latencies of the others may change.
        """
        view = await self._view.now()
        selected = await view.select(query)
        head = json.dumps({**self._totals(view, query), "selected": len(selected)})
        before = f"{head[:-1]}, ".encode() + b'"connections": ['
        end = min(query.offset + query.limit, len(selected))
        for start in range(query.offset, end, PIECE):
            yield before + _rows(query, selected[start : min(start + PIECE, end)])
            before = b", "
            await asyncio.sleep(0)
        yield b"]}" if end > query.offset else before + b"]}"

    def _totals(self, view: View | Snapshot, query: Query) -> dict[str, Any]:
        failures: Sequence[Failure | SharedFailure] = view.failures()
        return {
            "at": time.time(),
            "process": telling.process(),
            **view.totals(),
            "lately": telling.timeline(self._live.timeline),
            "failures": [
                telling.failure(failure)
                for failure in reversed(failures)
                if failure.at > query.since
            ],
        }


def _is_shared(connections: object) -> TypeGuard[SharedConnections]:
    module = sys.modules.get("asgi_keepalive.observers.shared")  # importing it takes an extra
    return module is not None and isinstance(connections, module.SharedConnections)


def _name(scope: Scope) -> bytes:
    """Return the last segment of the URL; no proxy takes that off."""
    mounted = scope["path"] or scope.get("root_path") or ""
    raw: bytes = scope.get("raw_path") or quote(mounted).encode()
    # It is quoted, as a colon would make a URL scheme of the text before it.
    return quote(raw.partition(b"?")[0].rpartition(b"/")[2], safe="%").encode()


def _rows(query: Query, connections: Iterable[LiveConnection | SharedConnection]) -> bytes:
    whole = query.number is not None
    return ", ".join(json.dumps(telling.connection(one, whole)) for one in connections).encode()
