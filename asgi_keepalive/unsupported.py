"""Connections that are refused, and those without keepalive.

A connection is refused in a drain; and where keepalive is required, but its server gives no access
to Pings. If it is not required the application runs, and nothing of what it and its server say to
one another changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from .drain import Group
from .extension import Event, Receive, Scope, Send, Server
from .log import logger, name
from .observers import Factory
from .planned import RESTART
from .reporting import Reporter
from .state import Keepalive
from .timer import TURNS

DENIAL = "websocket.http.response"
"""The extension of ASGI by which a server answers a handshake with any status."""

CODE = 1011
REASON = "keepalive is required"

PATIENCE = 1.0
"""Seconds in which `websocket.connect` must have come; otherwise it has been received before."""


async def refuse(scope: Scope, keepalive: Keepalive, receive: Receive, send: Send) -> None:
    """Refuse a connection before accept, or close one that has been accepted; log why.

    Each is logged: its application never hears of it, and a server may keep some connections and
    not others.
    """
    logger.error("%s: refused, as keepalive is required, but %s", name(scope), keepalive._off)
    with contextlib.suppress(OSError):  # the peer has gone
        if await _first(receive) != "websocket.disconnect":
            await send({"type": "websocket.close", "code": CODE, "reason": REASON})


async def turn_away(
    scope: Scope, receive: Receive, send: Send, group: Group, find: Callable[..., object]
) -> None:
    """Refuse a connection, as the server is being drained.

    Args:
        scope: The connection's ASGI scope.
        receive: The server's.
        send: The server's.
        group: The connections that are being drained.
        find: Finds the server's side.
    """
    with contextlib.suppress(OSError):  # the peer has gone
        first = await _first(receive)
        if first == "websocket.connect" and DENIAL in (scope.get("extensions") or {}):
            after = b"%d" % math.ceil(group.seconds_left)
            headers = [(b"retry-after", after), (b"content-length", b"0")]
            start = {"type": f"{DENIAL}.start", "status": 503, "headers": headers}
            await send(start)
            await send({"type": f"{DENIAL}.body", "body": b""})
            # Returned to before TCP is gone, uvicorn takes this for no answer.
            for _ in range(TURNS):
                await asyncio.sleep(0)
        elif first != "websocket.disconnect":
            server = find(scope, receive, send)
            if isinstance(server, Server):
                send = server.send
            if first == "websocket.connect":
                # Refused before accept it would be told 403, as if it were not to come back. A
                # browser wants one of the subprotocols that it offers.
                chosen = (scope.get("subprotocols") or [None])[0]
                await send({"type": "websocket.accept", "subprotocol": chosen, "headers": []})
            # daphne itself refuses to send this code.
            if isinstance(server, Server) and "fail" in server.extension:
                server.extension["fail"](*RESTART, group.close_timeout)
            else:
                await send({"type": "websocket.close", **RESTART._asdict()})


async def _first(receive: Receive) -> str | None:
    """Return the type of the next event, if one comes."""
    # A task of asyncio can be timed out. Whatever else runs this only has to do as ASGI says.
    timed = asyncio.timeout(PATIENCE) if _in_a_task() else contextlib.nullcontext()
    with contextlib.suppress(TimeoutError):
        async with timed:
            return _type(await receive())
    return None


def _in_a_task() -> bool:
    with contextlib.suppress(RuntimeError):  # the loop is none of asyncio's
        return isinstance(asyncio.current_task(), asyncio.Task)
    return False


def _type(event: Any) -> str | None:
    # Only the server may judge what an application sends.
    return event.get("type") if isinstance(event, Mapping) else None


class Observed:
    """One connection that is not supported, and its observers.

    They are told that it opens and closes. It wraps the `receive` and `send` of the application,
    and is a context manager around that.
    """

    def __init__(
        self,
        scope: Scope,
        keepalive: Keepalive,
        receive: Receive,
        send: Send,
        factories: tuple[Factory, ...],
    ) -> None:
        self._keepalive = keepalive
        self._receive = receive
        self._report = Reporter(scope, factories)
        self._send = send

    def __enter__(self) -> Observed:
        self._keepalive._join = self._report.join
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._keepalive._join = None
        self._report.closed()

    async def receive(self) -> Event:
        """ASGI's `receive`."""
        event: Event = await self._receive()
        if _type(event) == "websocket.disconnect":
            self._report.closed()
        return event

    async def send(self, event: Event) -> None:
        """ASGI's `send`."""
        kind = _type(event)
        if kind == "websocket.close":
            self._report.closed()
        await self._send(event)
        if kind == "websocket.accept":
            self._report.opened()
