"""Reading ahead of the application, up to a bound.

uvicorn's two newer protocols stop reading at the first message that the application has not
received: the Pongs of a busy application's clients stay in the kernel, and so do their own Pings
and Closes. Here messages are queued up to a bound instead; only then does reading pause.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import Any

from ...extension import Event
from . import shared
from .turns import taking_turns

MAX_BYTES = 2**20
"""Reading pauses once this much is unread, and resumes at half."""


def size(data: str | bytes) -> int:
    """Return the size of a message in bytes, text as UTF-8."""
    if isinstance(data, bytes) or data.isascii():
        return len(data)
    return len(data.encode())


def max_unread(protocol: Any) -> float:
    """Return how many messages may be unread: `ws_max_queue`, where `None` is no bound."""
    limit = protocol.config.ws_max_queue
    return inf if limit is None else max(1, limit)


class ReadAheadQueue(asyncio.Queue[Any]):
    """A protocol's queue of events that pauses its transport when too much is unread.

    A queue becomes one by being given this class, then `begin`.
    """

    _queue: deque[Any]  # with _put and _get what asyncio.Queue lets a subclass use

    def begin(self, protocol: Any) -> None:
        """Begin to count what is unread."""
        self._protocol = protocol
        self._max_messages = max_unread(protocol)
        self._messages = 0
        self._bytes = 0
        self._paused = False

    def go_on(self) -> None:
        """Let the transport read, unless too much is unread."""
        if self._paused:
            self._protocol.transport.pause_reading()
        else:
            self._protocol.transport.resume_reading()

    def _put(self, item: Event) -> None:
        self._queue.append(item)
        if item["type"] != "websocket.receive":
            return
        self._messages += 1
        self._bytes += size(item.get("text") or item.get("bytes") or b"")
        if not self._paused and (self._messages >= self._max_messages or self._bytes >= MAX_BYTES):
            self._paused = True
            self._protocol.transport.pause_reading()
            self._protocol.extension.read_paused(True)

    def _get(self) -> Event:
        item: Event = self._queue.popleft()
        if item["type"] != "websocket.receive":
            return item
        self._messages -= 1
        self._bytes -= size(item.get("text") or item.get("bytes") or b"")
        if (
            self._paused
            and self._messages <= self._max_messages / 2
            and self._bytes <= MAX_BYTES / 2
        ):
            self._paused = False
            self._protocol.transport.resume_reading()
            self._protocol.extension.read_paused(False)
        return item


TOUCHED = (
    *shared.TOUCHED,
    "close_sent",
    "conn",
    "disconnected",
    "handle_ping",
    "handle_pong",
    "handshake_complete",
    "queue",
    "read_paused",
    "start_keepalive",
    "writable",
)
"""The undocumented attributes of the two newer protocols that this package rests on."""


def reading_ahead(base: Any) -> Any:
    """Return a subclass of one of the two newer protocols that speaks the extension."""

    class ReadingAhead(taking_turns(shared.extended(base))):  # type: ignore[misc]
        # RFC 6455 5.5.3 lets an endpoint answer only the most recent Ping. So while the buffer is
        # full one Pong waits: a peer that sends Pings and reads nothing must not fill the memory.
        _pong = b""

        def extend(self) -> None:
            super().extend()
            # uvloop's transport holds the method that it calls for what it has read.
            self.transport.set_protocol(self)
            self.queue.__class__ = ReadAheadQueue
            self.queue.begin(self)

        def go_on_reading(self) -> None:
            self.queue.go_on()

        def may_pong(self) -> bool:
            """Whether a Pong can be written now rather than wait."""
            return self.writable.is_set() and not self.transport.is_closing()

        def resume_writing(self) -> None:
            super().resume_writing()
            pong, self._pong = self._pong, b""
            if pong and self.is_open():
                self.transport.write(pong)

        # uvicorn's code finds reading paused already and leaves it alone: the queue sees to it.
        @property
        def read_paused(self) -> bool:
            return True

        @read_paused.setter
        def read_paused(self, value: bool) -> None:
            pass

        async def send(self, message: Event) -> None:
            if message["type"] == "websocket.send":
                await super().send(message)
            else:
                await self.extension.send(super().send, message)

        async def accepted(self) -> None:
            pass

        def is_open(self) -> bool:
            return self.handshake_complete and not (self.close_sent or self.transport.is_closing())

        def failed(self, code: int, reason: str) -> None:
            """The Close frame has been written: let a pending `receive` end."""
            self.close_sent = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

        def end(self) -> None:
            self.disconnected = True
            self.writable.set()

    return ReadingAhead
