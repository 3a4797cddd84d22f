"""Reading ahead of the application, up to a bound.

Servers stop reading at the first message that the application has not received, or at the tenth:
the Pongs of a busy application's clients stay in the kernel, and so do their own Pings and
Closes. Here messages are queued up to a bound instead; only then does reading pause.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from ..extension import Event

MAX_BYTES = 2**20
"""Reading pauses once this much is unread, and resumes at half."""


def size(data: str | bytes) -> int:
    """Return the size of a message in bytes, text as UTF-8."""
    if isinstance(data, bytes) or data.isascii():
        return len(data)
    return len(data.encode())


class ReadAheadQueue:
    """Takes the place of a server's queue, and pauses the transport when too much is unread.

    Args:
        protocol: It takes turns, and has the event loop as `loop` and its `extension`.
        max_messages: So many messages may be unread; infinity is no bound.

    Not an `asyncio.Queue`: that is written in Python too, and on every connection it keeps an
    event and two more deques than are needed, 2 KiB.
    """

    __slots__ = (
        "_bytes",
        "_discards",
        "_getters",
        "_items",
        "_last",
        "_later",
        "_max_messages",
        "_may_pause",
        "_paused",
        "_protocol",
    )

    def __init__(self, protocol: Any, max_messages: float) -> None:
        self._protocol = protocol
        self._max_messages = max_messages
        self._items: deque[tuple[Event, int]] = deque()  # with their sizes
        self._later: tuple[Event, ...] = ()
        self._bytes = 0
        self._paused = False
        self._may_pause = True
        self._discards = False
        self._getters: list[asyncio.Future[None]] = []
        self._last: Event | None = None

    def empty(self) -> bool:
        """Always false: a server asks whether to resume reading, which is not its business."""
        return False

    def put_nowait(self, item: Event) -> None:
        """Add an event."""
        is_message = item["type"] == "websocket.receive"
        if self._last is not None or (is_message and self._discards):
            return
        if not is_message and self._protocol.is_between_turns:
            self._later += (item,)  # the end has come after messages that are not parsed yet
            return
        unread = size(item.get("bytes") or item.get("text") or b"") if is_message else 0
        self._items.append((item, unread))
        self._bytes += unread
        if (
            is_message
            and not self._paused
            and (len(self._items) >= self._max_messages or self._bytes >= MAX_BYTES)
        ):
            self._full()
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
        if (
            self._paused
            and len(self._items) <= self._max_messages / 2
            and self._bytes <= MAX_BYTES / 2
        ):
            self._resume()
        return item

    def end(self, last: Event) -> None:
        """Nothing more will come but this event, however often; the first such call counts."""
        if self._last is None:
            self._last = last
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)

    def _wake(self) -> None:
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)
                break

    def _full(self) -> None:
        """Too much is unread."""
        if self._may_pause:
            self._paused = True
            self._protocol.pause_parsing()
            self._protocol.extension.read_paused(True)
        else:
            self._discards = True

    def _resume(self) -> None:
        self._paused = False
        self._protocol.resume_parsing()
        self._protocol.extension.read_paused(False)

    def discard(self) -> None:
        """The application has closed: read on whatever is unread, up to the peer's Close.

        What has come can still be received, but no message for which there is no room.
        """
        self._may_pause = False
        if self._paused:
            self._discards = True
            self._resume()

    def go_on(self) -> None:
        """What was read has been parsed: let the transport read, unless too much is unread."""
        later, self._later = self._later, ()
        for event in later:
            self.put_nowait(event)
        if self._paused:
            self._protocol.transport.pause_reading()
        else:
            self._protocol.transport.resume_reading()
