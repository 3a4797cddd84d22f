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

from ...extension import Event, Receive
from . import shared
from .buffer import ReadingInto
from .turns import taking_turns

MAX_BYTES = 2**20
"""Reading pauses once this much is unread, and resumes at half."""


PING = 0x89
"""The first byte of a Ping frame (RFC 6455 5.2)."""

PONG = b"\x8a\x84"
"""How a Pong frame begins that is masked and has four bytes of payload."""


def size(data: str | bytes) -> int:
    """Return the size of a message in bytes, text as UTF-8."""
    if isinstance(data, bytes) or data.isascii():
        return len(data)
    return len(data.encode())


def max_unread(protocol: Any) -> float:
    """Return how many messages may be unread: `ws_max_queue`, where `None` is no bound."""
    limit = protocol.config.ws_max_queue
    return inf if limit is None else max(1, limit)


class ReadAheadQueue:
    """Takes the place of a protocol's queue, and pauses its transport when too much is unread.

    Not an `asyncio.Queue`: that is written in Python too, and on every connection it keeps an
    event and two more deques than are needed, 2 KiB.
    """

    __slots__ = ("_bytes", "_getters", "_items", "_last", "_max_messages", "_paused", "_protocol")

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._max_messages = max_unread(protocol)
        self._items: deque[tuple[Event, int]] = deque()  # with their sizes
        self._bytes = 0
        self._paused = False
        self._getters: list[asyncio.Future[None]] = []
        self._last: Event | None = None

    def empty(self) -> bool:
        """Always false: uvicorn asks only whether to resume reading, which is not its business."""
        return False

    def put_nowait(self, item: Event) -> None:
        """Add an event."""
        if self._last is not None:
            return
        is_message = item["type"] == "websocket.receive"
        unread = size(item.get("bytes") or item.get("text") or b"") if is_message else 0
        self._items.append((item, unread))
        self._bytes += unread
        if (
            is_message
            and not self._paused
            and (len(self._items) >= self._max_messages or self._bytes >= MAX_BYTES)
        ):
            self._paused = True
            self._protocol.transport.pause_reading()
            self._protocol.extension.read_paused(True)
        self._wake()

    async def get(self) -> Event:
        """Return the next event; wait for it."""
        while not self._items:
            if self._last is not None:
                return self._last
            getter = self._protocol.loop.create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                if self._items:  # perhaps woken for it, and given up at once
                    self._wake()
                raise
            finally:
                self._getters.remove(getter)
        item, unread = self._items.popleft()
        self._bytes -= unread
        if self._paused:
            self._resume()
        return item

    def end(self, last: Event) -> None:
        """Nothing more will come but this event, however often it is asked for."""
        self._last = last
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)

    def _wake(self) -> None:
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)
                break

    def _resume(self) -> None:
        if len(self._items) <= self._max_messages / 2 and self._bytes <= MAX_BYTES / 2:
            self._paused = False
            self._protocol.transport.resume_reading()
            self._protocol.extension.read_paused(False)

    def go_on(self) -> None:
        """Let the transport read, unless too much is unread."""
        if self._paused:
            self._protocol.transport.pause_reading()
        else:
            self._protocol.transport.resume_reading()


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
        queue: Any

        def extend(self) -> None:
            super().extend()
            if isinstance(self.loop, asyncio.BaseEventLoop) and self.transport.can_write_eof():
                self.transport.set_protocol(ReadingInto(self))
            else:  # uvloop's transport holds the method that it calls for what it has read
                self.transport.set_protocol(self)
            queue, self.queue = self.queue, ReadAheadQueue(self)
            while not queue.empty():
                self.queue.put_nowait(queue.get_nowait())
            # uvicorn finds reading paused already and leaves it alone: the queue sees to it.
            self.read_paused = True

        def own_receive(self) -> Receive | None:
            own: Receive = self.queue.get
            return own

        def take_pong(self, data: bytes) -> bool:
            """Take a Pong frame in place of the library, whose parser is most of what it costs."""
            if not data.startswith(PONG) or not self.extension.awaits_pong:
                return False
            if self.ping_interval is not None:  # uvicorn's own keepalive awaits Pongs, too
                return False
            try:
                if not self.is_between_frames():
                    return False
            except AttributeError:  # a version of the library that is different inside
                return False
            payload = int.from_bytes(data[2:6]) ^ int.from_bytes(data[6:])
            self.extension.pong(payload.to_bytes(4))
            return True

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

        async def send(self, message: Event) -> None:
            if message["type"] == "websocket.send":
                await super().send(message)
            else:
                await self.extension.send(super().send, message)

        async def accepted(self) -> None:
            pass

        def write_ping(self, payload: bytes) -> None:
            # Not by way of the library: a control frame is two bytes and its payload (5.2).
            if len(payload) > 125:
                raise ValueError(f"a Ping carries at most 125 bytes, not {len(payload)}")
            self.transport.write(bytes((PING, len(payload))) + payload)

        def is_open(self) -> bool:
            return self.handshake_complete and not (self.close_sent or self.transport.is_closing())

        def failed(self, code: int, reason: str) -> None:
            """The Close frame has been written: let a pending `receive` end."""
            self.close_sent = True
            self.queue.end({"type": "websocket.disconnect", "code": code, "reason": reason})

        def end(self) -> None:
            self.disconnected = True
            self.writable.set()

    return ReadingAhead
