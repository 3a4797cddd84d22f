"""Connections without keepalive, as their server gives no access to Pings.

Nothing of what the application and its server say to one another changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from .extension import Event, Receive, Scope, Send
from .log import logger, name
from .observers import Factory, Observers
from .state import Keepalive

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
        self._factories = factories
        self._has_ended = False
        self._keepalive = keepalive
        self._observers: Observers | None = None  # while it is open
        self._receive = receive
        self._scope = scope
        self._send = send

    def __enter__(self) -> Observed:
        self._keepalive._join = self.join
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._keepalive._join = None
        self._end()

    def join(self, factories: tuple[Factory, ...]) -> None:
        """Let others observe the connection, too."""
        new = tuple(one for one in factories if one not in self._factories)
        self._factories += new
        if self._observers is not None:
            self._tell(self._observers, new)

    async def receive(self) -> Event:
        """ASGI's `receive`."""
        event: Event = await self._receive()
        if _type(event) == "websocket.disconnect":
            self._end()
        return event

    async def send(self, event: Event) -> None:
        """ASGI's `send`."""
        kind = _type(event)
        if kind == "websocket.close":
            self._end()
        await self._send(event)
        if kind == "websocket.accept" and self._observers is None and not self._has_ended:
            self._observers = Observers()
            self._tell(self._observers, self._factories)

    def _tell(self, observers: Observers, factories: tuple[Factory, ...]) -> None:
        for factory in factories:
            observers.join(factory, self._scope)

    def _end(self) -> None:
        self._has_ended = True
        observers, self._observers = self._observers, None
        if observers is not None:
            observers.closed()
