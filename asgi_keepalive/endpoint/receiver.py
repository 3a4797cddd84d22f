"""Receiving: the protocol of a connection's transport, which reads frames for its server.

The way of a message: the transport calls `data_received`, the `Reader` makes events of the bytes,
and the application takes them from the `ReadAheadQueue`. The way of a Pong ends in the callback of
the extension.

Reading stops in two cases. The application is behind, so that the queue is full: then it goes on
when there is room. Or it has taken too long: one read may bring a quarter of a megabyte, of frames
of six bytes that is 40,000, and other connections must have their turn. Then it goes on in the next
turn of the event loop. The transport reads nothing meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from ..extension import Traffic
from .adapter import ReadingAdapter
from .events import Close, Failure, Ping, Pong
from .frames import TOO_BIG, pong_frame
from .queue import ReadAheadQueue, size
from .reader import Reader

TURN = 0.002
"""Seconds after which others have their turn."""

LOOK = 16
"""So many frames are taken between two looks at the clock."""


class Told(Protocol):
    """The endpoint, as far as it is told of what comes."""

    def pong(self, payload: bytes) -> None: ...
    def read_paused(self, paused: bool) -> None: ...
    def eof_received(self) -> bool: ...
    def lost(self) -> None: ...


class Receiver(asyncio.Protocol):
    """Reads what comes on one connection.

    Args:
        adapter: The server's; it is given a queue.
        endpoint: Is told of Pongs, of pauses, and of the end.
    """

    __slots__ = (
        "_adapter",
        "_endpoint",
        "_is_held",
        "_next_turn_is_due",
        "_pong",
        "_queue",
        "_reader",
        "_writing_paused",
    )

    def __init__(self, adapter: ReadingAdapter, endpoint: Told) -> None:
        self._adapter = adapter
        self._endpoint = endpoint
        self._is_held = False  # something that has come is still to be read
        self._next_turn_is_due = False
        # RFC 6455 5.5.3 lets an endpoint answer only the most recent Ping. So while the buffer is
        # full one Pong waits: a peer that sends Pings and reads nothing must not fill the memory.
        self._pong = b""
        self._queue = ReadAheadQueue(adapter.loop, self)
        self._reader: Reader | None = None
        self._writing_paused = False
        adapter.use_queue(self._queue)

    # The endpoint calls these.

    def begin(self) -> None:
        """Read from now on, if the handshake is over and the server's parser between messages."""
        if self._reader is not None:
            return
        adapter = self._adapter
        unparsed = adapter.unparsed()
        if unparsed is not None:
            self._reader = Reader(adapter.max_size, adapter.inflater(), adapter.logger)
            if unparsed:
                self.data_received(unparsed)

    def read_ahead(self) -> None:
        """Let as many messages be unread as the server's settings allow."""
        self._queue.max_messages = self._adapter.max_unread

    def discard(self) -> None:
        """The application has closed: let nothing pause reading any more."""
        self._queue.discard()

    def traffic(self) -> Traffic:
        """Tell what has come, if it is counted."""
        return {}

    # The transport calls these.

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            self._adapter.forward(data)
            self.begin()
            return
        reader.feed(data)
        if not self._is_held:
            self._read(reader)
        self._adapter.has_read()

    def eof_received(self) -> bool:
        self._adapter.eof_received()
        return self._endpoint.eof_received()

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._adapter.pause_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._adapter.resume_writing()
        pong, self._pong = self._pong, b""
        if pong and self._may_answer():
            self._adapter.transport.write(pong)

    def connection_lost(self, exc: Exception | None) -> None:
        self._endpoint.lost()
        self._adapter.connection_lost(exc)

    # Reading.

    def _read(self, reader: Reader) -> None:
        """Take what has come, until too much is unread, or it takes too long."""
        adapter, queue = self._adapter, self._queue
        taken = 0
        over = 0.0
        while (event := reader.next_event()) is not None:
            kind = type(event)
            if kind is str or kind is bytes:
                queue.put_message(adapter.message(event), size(event))  # type: ignore[arg-type]
                if queue.is_full:
                    self._hold()
                    return
            elif kind is Pong:
                self._endpoint.pong(event.payload)  # type: ignore[union-attr]
            elif kind is Ping:
                self._answer(event.payload)  # type: ignore[union-attr]
            elif isinstance(event, Close):
                adapter.peer_closed(event.code, event.reason)
                self._release()  # a loss of the connection that is held comes too late
                return
            elif isinstance(event, Failure):
                self._release()
                if adapter.is_open():
                    adapter.write_close(event.code, event.reason)
                if event.code == TOO_BIG:  # a peer that still sends would lose the Close frame
                    adapter.transport.linger()
                adapter.peer_failed(event.code, event.reason)
                return
            taken += 1
            if taken % LOOK:
                continue
            now = time.monotonic()
            if not over:
                over = now + TURN
            elif now > over:
                self._hold()
                self._take_turn_later()
                return
        if self._is_held:
            self._release()

    def _hold(self) -> None:
        if not self._is_held:
            self._is_held = True
            self._queue.hold_end()
            transport = self._adapter.transport
            if not transport.is_closing():
                transport.pause_reading()

    def _release(self) -> None:
        if self._is_held:
            self._is_held = False
            self._queue.release_end()
            transport = self._adapter.transport
            if not transport.is_closing():
                transport.resume_reading()

    def _take_turn_later(self) -> None:
        if not self._next_turn_is_due:
            self._next_turn_is_due = True
            self._adapter.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._next_turn_is_due = False
        if self._queue.is_full:
            return
        if self._reader is None:
            self._release()
            return
        try:
            self._read(self._reader)
        except BaseException:  # a transport that calls data_received does the same
            self._adapter.transport.abort()
            self._queue.release_end()  # nothing more is read, but the end is still to be told
            raise

    # The queue calls these.

    def pause(self) -> None:
        """Too much is unread."""
        self._endpoint.read_paused(True)
        if self._reader is None:
            self._hold()

    def resume(self) -> None:
        """There is room for more."""
        self._endpoint.read_paused(False)
        self._take_turn_later()

    # Pings.

    def _answer(self, payload: bytes) -> None:
        if self._may_answer():
            pong = pong_frame(payload)
            if self._writing_paused:
                self._pong = pong
            else:
                self._adapter.transport.write(pong)

    def _may_answer(self) -> bool:
        adapter = self._adapter
        return adapter.is_open() or (
            adapter.pongs_after_close and not adapter.transport.is_closing()
        )
