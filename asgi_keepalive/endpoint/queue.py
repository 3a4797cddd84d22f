"""Reading ahead of the application, up to a bound.

Servers stop reading at the first message that the application has not received, or at the tenth:
the Pongs of a busy application's clients stay in the kernel, and so do their own Pings and
Closes. Here messages are queued up to a bound instead; only then does reading pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableSequence
from typing import Any, Protocol

from ..extension import Event

MAX_BYTES = 2**20
"""Reading pauses once this much is unread, and resumes at half."""


def size(data: str | bytes) -> int:
    """Return the size of a message in bytes, text as UTF-8."""
    if isinstance(data, bytes) or data.isascii():
        return len(data)
    return len(data.encode())


def is_known(own: Any) -> bool:
    """Whether a server's own queue is one whose place a `ReadAheadQueue` can take."""
    used = {"empty", "_getters", "get_nowait"}
    return type(own) is asyncio.Queue and used <= set(asyncio.Queue.get.__code__.co_names)


class Reading(Protocol):
    """A reader is told when to pause."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...


class ReadAheadQueue:
    """Takes the place of a server's queue of events.

    Args:
        loop: The event loop.
        reading: Is told when too much is unread, and when it is no longer.

    Attributes:
        max_messages: So many messages may be unread; infinity is no bound. One is what servers
            allow by themselves.
        is_full: Whether too much is unread.
        unread: The number of events that wait to be received.

    Not an `asyncio.Queue`: that is written in Python too, and on every connection it keeps an
    event and three deques, 2 KiB.
    """

    __slots__ = (
        "_bytes",
        "_discards",
        "_getters",
        "_held_end",
        "_last",
        "_loop",
        "_may_fill",
        "_newer",
        "_older",
        "_reading",
        "is_full",
        "max_messages",
        "unread",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, reading: Reading) -> None:
        self.is_full = False
        self.max_messages: float = 1
        self.unread = 0
        self._loop = loop
        self._reading = reading
        # With their sizes. An empty deque takes 760 bytes, on every idle connection.
        self._newer: list[tuple[Event, int]] = []
        self._older: list[tuple[Event, int]] = []  # the oldest last
        self._held_end: list[tuple[Callable[[Event], None], Event]] | None = None
        self._bytes = 0
        self._may_fill = True
        self._discards = False
        self._getters: MutableSequence[asyncio.Future[None]] = []
        self._last: Event | None = None

    def take_from(self, own: Any) -> None:
        """Take the events that wait in the server's own queue, and serve who waits for one."""
        while not own.empty():
            self.put_nowait(own.get_nowait())
        if own._getters:
            self.stand_behind(own)

    def stand_behind(self, own: Any) -> None:
        """Let the `get` of the server's own queue return what is put here, from now on.

        Whatever wraps `receive` holds that bound method. It asks `empty`, waits among `_getters`,
        and calls `get_nowait`. A `put` of the server's that is blocked asks `full`.
        """
        self._getters = own._getters
        own.empty = self._has_nothing
        own.full = self._is_never_full
        own.get_nowait = self._get_nowait
        own.put_nowait = self.put_nowait

    def _has_nothing(self) -> bool:
        return not self.unread and self._last is None

    def _is_never_full(self) -> bool:
        return False  # whoever reads is told to pause

    def empty(self) -> bool:
        """Always false: a server asks whether to resume reading, which is not its business."""
        return False

    def put_message(self, event: Event, size: int) -> None:
        """Add a message of that many bytes."""
        if self._last is not None or self._discards:
            return
        self._newer.append((event, size))
        self.unread += 1
        self._bytes += size
        if not self.is_full and (self.unread >= self.max_messages or self._bytes >= MAX_BYTES):
            if self._may_fill:
                self.is_full = True
                self._reading.pause()
            else:
                self._discards = True
        if self._getters:
            self._wake()

    def put_nowait(self, event: Event) -> None:
        """Add an event: servers have a queue of asyncio's here."""
        if event["type"] == "websocket.receive":
            self.put_message(event, size(event.get("bytes") or event.get("text") or b""))
        elif self._held_end is not None:
            self._held_end.append((self.put_nowait, event))
        elif self._last is None:
            if event["type"] == "websocket.disconnect":
                self._discards = True  # no message can follow it
            self._newer.append((event, 0))
            self.unread += 1
            self._wake()

    async def get(self) -> Event:
        """Return the next event; wait for it."""
        while not self.unread:
            if self._last is not None:
                return self._last
            getter = self._loop.create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                if getter in self._getters:
                    self._getters.remove(getter)
                elif self.unread:  # woken for it, and given up at once
                    self._wake()
                raise
        if not self._older:
            self._newer.reverse()
            self._older, self._newer = self._newer, self._older
        event, size = self._older.pop()
        self.unread -= 1
        self._bytes -= size
        if self.is_full and self._has_room():
            self.is_full = False
            self._reading.resume()
        return event

    def _get_nowait(self) -> Event:
        try:
            self.get().send(None)
        except StopIteration as stop:
            event: Event = stop.value
            return event
        raise asyncio.QueueEmpty

    def _has_room(self) -> bool:
        return self.unread <= self.max_messages / 2 and self._bytes <= MAX_BYTES / 2

    def end(self, last: Event) -> None:
        """Nothing more will come but this event, however often; the first such call counts."""
        if self._last is None:
            self._last = last
        while self._getters:
            self._wake()

    def end_behind_held(self, last: Event) -> None:
        """The connection is lost: `end`, but not before what has come and is still to be read."""
        if self._held_end is None:
            self.end(last)
        else:
            self._held_end.append((self.end, last))

    def _wake(self) -> None:
        """Wake the first that waits; as with asyncio's own, it is no longer among those then."""
        while self._getters:
            getter = self._getters[0]
            del self._getters[0]
            if not getter.done():
                getter.set_result(None)
                break

    def discard(self) -> None:
        """The application has closed: read on whatever is unread, up to the peer's Close.

        What has come can still be received, but no message for which there is no room.
        """
        self._may_fill = False
        if self.is_full:
            self._discards = True
            self.is_full = False
            self._reading.resume()

    def hold_end(self) -> None:
        """Let what ends the connection wait until `release_end`: messages come before it."""
        if self._held_end is None:
            self._held_end = []

    def release_end(self) -> None:
        """All messages have been put."""
        held, self._held_end = self._held_end, None
        for tell, event in held or ():
            tell(event)
