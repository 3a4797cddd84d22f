"""A connection of gunicorn's own `asgi` worker.

Two objects make it: the `ASGIProtocol`, which is the transport's protocol, and the
`WebSocketProtocol`, whose `_send` and `_receive` the application gets. A task of the latter parses
frames. Once the application has accepted, that task gets nothing more, and learns only that the
connection has ended.
"""

from __future__ import annotations

import inspect
from typing import Any

from gunicorn.asgi.websocket import (  # type: ignore[import-untyped]
    CLOSE_NORMAL,
    RECEIVE_QUEUE_HIGH_WATER,
    WebSocketProtocol,
)

from ...endpoint.adapter import ReadingAdapter, disconnect
from ...endpoint.closing import BoundedTransport
from ...endpoint.frames import NO_CODE
from ...endpoint.queue import ReadAheadQueue
from ...extension import Event
from .exiting import exit_of

READ_FRAME = WebSocketProtocol._read_frame.__code__
HEADER = "header"
"""A local variable of that, which it sets first."""


class _Queue:
    """Stands before the queue, with the methods of asyncio's that gunicorn calls."""

    __slots__ = ("_queue", "get")

    def __init__(self, queue: ReadAheadQueue) -> None:
        self._queue = queue
        self.get = queue.get

    async def put(self, event: Event) -> None:
        self._queue.put_nowait(event)

    def qsize(self) -> int:
        return 0  # its task need not wait for room: the `Receiver` pauses the transport


class GunicornAdapter(ReadingAdapter):
    """A connection of gunicorn's.

    Args:
        protocol: The `WebSocketProtocol`.
        http: The `ASGIProtocol`.
        reading: The coroutine of the task that reads.
    """

    __slots__ = ("_exit", "_http", "_protocol", "_reading")

    pongs_after_close = True

    def __init__(self, protocol: Any, http: Any, reading: Any) -> None:
        self.loop = http.worker.loop
        self.max_unread = RECEIVE_QUEUE_HIGH_WATER
        self.max_size = protocol.max_message_size or None
        self.transport = protocol.transport
        self._exit = exit_of(http.worker)
        self._http = http
        self._protocol = protocol
        self._reading = reading

    # The beginning.

    def use_transport(self, transport: BoundedTransport) -> None:
        self.transport = self._protocol.transport = self._http.transport = transport
        # Only there both of the application's ends pass: its close, and its return.
        self._protocol._send_close = self._send_close
        if not transport.is_closing():
            self._exit.connections.add(self)

    def use_queue(self, queue: ReadAheadQueue) -> None:
        queue.take_from(self._protocol._receive_queue)
        self.queue = queue
        self._protocol._receive_queue = _Queue(queue)
        self._protocol._queue_space.set()  # what waits for room in the old one

    def stop_keepalive(self) -> None:
        """It has none."""

    def forward(self, data: bytes) -> None:
        self._http.data_received(data)

    def unparsed(self) -> bytes | None:
        if not (self.is_open() and self._is_between_messages()):
            return None
        buffer = self._protocol._buffer
        unparsed = bytes(buffer)
        buffer.clear()
        self._protocol._resume_reading()
        return unparsed

    def _is_between_messages(self) -> bool:
        """Whether the task that reads has nothing of a frame or message, but in its buffer."""
        if inspect.getcoroutinestate(self._reading) == inspect.CORO_CREATED:
            return True
        waits_in = self._reading.cr_await
        return (
            getattr(waits_in, "cr_code", None) is READ_FRAME
            and HEADER not in waits_in.cr_frame.f_locals
            and self._protocol._fragment_opcode is None
        )

    def inflater(self) -> None:
        """It offers no compression."""

    # Between the two ends.

    def is_open(self) -> bool:
        protocol = self._protocol
        return protocol.accepted and not (
            protocol._close_sent or protocol.closed or self.transport.is_closing()
        )

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()

    # The end.

    async def _send_close(self, code: int, reason: str = "") -> None:
        self.transport.abort_after(self.transport.close_timeout)
        self.queue.discard()
        await WebSocketProtocol._send_close(self._protocol, code, reason)

    def peer_closed(self, code: int, reason: str) -> None:
        protocol = self._protocol
        if self.is_open():
            self.write_close(CLOSE_NORMAL if code == NO_CODE else code, reason)
        protocol.close_code, protocol.close_reason = code, reason
        protocol._close_received = True
        self._end(disconnect(code, reason))

    def peer_failed(self, code: int, reason: str) -> None:
        self._end(disconnect(1006))  # as no Close frame was received (RFC 6455 7.1.5)

    def _end(self, last: Event) -> None:
        self._protocol._close_sent = True
        self.queue.end(last)
        self.transport.write_eof()

    def failed(self, code: int, reason: str) -> None:
        self._protocol._close_sent = True
        self.queue.end(disconnect(code, reason))

    def end_writing(self) -> None:
        protocol = self._protocol
        protocol.closed = True
        protocol._close_event.set()  # for which a close waits
        self._http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._exit.connections.discard(self)
        self._http.connection_lost(exc)

    # The exit of the worker.

    @property
    def close_timeout(self) -> float:
        timeout: float = self.transport.close_timeout
        return timeout

    def hurry(self) -> None:
        """Do not linger."""
        self.transport.hurry()

    def exit(self) -> None:
        """Close with 1012: the client may come back."""
        self.transport.close_at_exit(self._close)

    def _close(self) -> None:
        if not self._protocol.accepted:
            self._protocol._deny(403, "Forbidden")  # as gunicorn does when it cancels
        elif self.is_open():
            self.write_close(1012, "")
        self._end(disconnect(1012))

    def abort(self) -> None:
        """Let TCP go."""
        self.transport.abort()
