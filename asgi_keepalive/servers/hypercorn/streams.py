"""An HTTP/2 connection of hypercorn's, as its streams share it.

hypercorn reads in one task, which handles each event of each stream before the next, and sends in
another, which takes what the streams' buffers hold as the windows allow. Nothing is written past
the second. In the first nothing here waits for an application or for a window. It waits, as
hypercorn's own answers do, until TCP takes a refusal, and it lets others have their turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.events import Closed, RawData
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.http_stream import HTTPStream
from priority.priority import DeadlockError

from ...endpoint.closing import BoundedTransport
from ...endpoint.receiver import TURN
from ...endpoint.transports import bound_unsent
from .life import Life
from .stream_transport import StreamTransport
from .tcp import detach
from .windows import Upload, Window


class _Over:
    """Stands for a stream that is over on the server's side, while its client still sends."""

    async def handle(self, event: Any) -> None:
        """Discard what has come."""


class _Streams(dict[int, Any]):
    """The streams of a connection, where hypercorn would raise `KeyError` for one that is over."""

    def __missing__(self, stream_id: int) -> _Over:
        return _Over()


class _TellingOfLoss:
    """Stands before the protocol of TCP."""

    def __init__(self, protocol: Any, on_lost: Callable[[], None]) -> None:
        self.data_received = protocol.data_received
        self.eof_received = protocol.eof_received
        self.pause_writing = protocol.pause_writing
        self.resume_writing = protocol.resume_writing
        self._connection_lost = protocol.connection_lost
        self._on_lost = on_lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()
        self._connection_lost(exc)


class HTTP2Connection:
    """Stands between an HTTP/2 connection of hypercorn's and the transports of its streams.

    Args:
        http: The `H2Protocol`.
        tcp: The `TCPServer`.

    Attributes:
        life: Whether the peer lives.
        loop: The event loop.
        tcp: The `TCPServer`.
        turn_ends: When what has come in one read has taken long enough, and others have their turn.
    """

    def __init__(self, http: Any, tcp: Any) -> None:
        self.loop: asyncio.AbstractEventLoop = tcp.loop
        self.tcp = tcp
        self.turn_ends = 0.0
        self._http = http
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: dict[int, StreamTransport] = {}
        self._acknowledge = http.connection.acknowledge_received_data
        self._close_tcp = tcp._close
        self._handle = http.handle
        self._idle: Coroutine[Any, Any, None] | None = None
        self._idle_timeout = tcp._idle_timeout
        self._send_data = http._send_data
        transport = tcp.writer.transport
        detach(transport)
        self._transport = BoundedTransport(transport, tcp.loop, _nothing, _nothing)
        sock = tcp.writer.get_extra_info("socket")
        self.life = Life(tcp.loop, self._transport, sock, self._ping)
        transport.set_protocol(_TellingOfLoss(transport.get_protocol(), self._transport.lost))
        http.connection.acknowledge_received_data = self._acknowledge_received_data
        http.handle = self._count_and_handle
        http._send_data = self._send_data_and_tell
        http.streams = _Streams(http.streams)
        tcp._close = self._close
        tcp._idle_timeout = self._time_idleness
        tcp.writer._transport = self._transport  # it has no other way to be given one

    def add(self, stream_id: int) -> StreamTransport:
        """Return a transport for a stream."""
        transport = self._transports[stream_id] = StreamTransport(self, stream_id)
        return transport

    def bound_unsent(self) -> None:
        """Let TCP take little ahead of what it can send, for all streams."""
        bound_unsent(self._transport)

    def has_responded(self, stream_id: int) -> bool:
        """Whether a stream's response has begun."""
        stream = self._http.connection.streams.get(stream_id)
        return stream is not None and bool(stream.state_machine.headers_sent)

    def remove(self, stream_id: int) -> None:
        """Forget a stream that is over, and let hypercorn forget it."""
        self._transport.close_timeout = self._transports.pop(stream_id).bounded.close_timeout
        self.spawn(self._forget(stream_id))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something that may have to wait."""
        task = self.loop.create_task(coroutine, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def take_turns(self) -> None:
        """Let others have their turn."""
        await asyncio.sleep(0)
        self.turn_ends = time.monotonic() + TURN

    # A stream's transport calls these.

    def size(self, stream_id: int) -> int | None:
        """Return how much is buffered for a stream; `None` if its end has been sent."""
        buffer = self._http.stream_buffers.get(stream_id)
        return None if buffer is None else len(buffer.buffer)

    def write(self, stream_id: int, data: bytes) -> None:
        """Buffer something, behind what is buffered."""
        buffer = self._http.stream_buffers.get(stream_id)
        if buffer is not None:
            buffer.buffer += data
            self._wake(stream_id)

    def end_stream(self, stream_id: int) -> None:
        """End the server's side, behind what is buffered."""
        buffer = self._http.stream_buffers.get(stream_id)
        if buffer is not None:
            buffer.set_complete()
            self._wake(stream_id)

    def reset_stream(self, stream_id: int) -> None:
        """Reset a stream (RFC 9113 5.4.2)."""
        with contextlib.suppress(ProtocolError):  # it is closed already
            self._http.connection.reset_stream(stream_id, ErrorCodes.CANCEL)
        self.spawn(self._flush())

    def window(self, stream_id: int) -> Window:
        """Return a stream's window."""

        def give_back(size: int) -> None:
            with contextlib.suppress(ProtocolError, KeyError):  # the stream is closed
                self._http.connection.increment_flow_control_window(size, stream_id)
                self.spawn(self._flush())

        return Window(give_back)

    def _ping(self) -> None:
        with contextlib.suppress(ProtocolError):
            self._http.connection.ping(bytes(8))
            self.spawn(self._flush())

    def _wake(self, stream_id: int) -> None:
        self._http.priority.unblock(stream_id)
        self._http.has_data._event.set()

    async def _forget(self, stream_id: int) -> None:
        buffer = self._http.stream_buffers.get(stream_id)
        if buffer is not None:
            await buffer.close()
            await self._http._window_updated(stream_id)  # the task that sends removes it
        if not self._http.closed and not self._transport.is_closing():
            try:
                await self._http.stream_send(StreamClosed(stream_id))
            except RuntimeError:  # hypercorn exits: its group of tasks is over
                assert self._idle is not None  # of which it could not make a task
                self._idle.close()  # or Python would warn of it

    async def _flush(self) -> None:
        await self._http._flush()

    # hypercorn calls these.

    def _time_idleness(self) -> Coroutine[Any, Any, None]:
        """Return what hypercorn makes a task of, when its last stream is over."""
        self._idle = self._idle_timeout()
        return self._idle

    async def _count_and_handle(self, event: Any) -> None:
        if isinstance(event, RawData):
            self.life.received += len(event.data)
            self.turn_ends = time.monotonic() + TURN
        await self._handle(event)
        if isinstance(event, Closed):  # or hypercorn would wait for its `keep_alive_timeout`
            await self.tcp.idle_task.stop()

    def _acknowledge_received_data(self, size: int, stream_id: int) -> None:
        window = self._window_of(stream_id)
        if size and window is not None and window.is_withheld:
            window.keep(size)
            with contextlib.suppress(ProtocolError):  # the peer has closed the connection
                self._http.connection.increment_flow_control_window(size)
        else:
            self._acknowledge(size, stream_id)

    def _window_of(self, stream_id: int) -> Window | None:
        transport = self._transports.get(stream_id)
        if transport is not None:
            return transport.window
        stream = self._http.streams.get(stream_id)
        if type(stream) is not HTTPStream or not stream.config.max_app_queue_size:
            return None
        # Without its application it has no `app_put`: hypercorn has refused the request's host.
        owner: Any = getattr(getattr(stream, "app_put", None), "__self__", None)
        if type(owner) is asyncio.Queue:
            owner = Upload(owner, self.window(stream_id))
            stream.app_put = owner.put
        return owner.window if type(owner) is Upload else None

    async def _send_data_and_tell(self, stream_id: int) -> None:
        await self._send_data(stream_id)
        transport = self._transports.get(stream_id)
        if transport is not None:
            transport.sent()

    async def _close(self) -> None:
        """Close TCP; hypercorn waits for the end of that."""
        timeouts = [one.bounded.close_timeout for one in self._transports.values()]
        self._transport.abort_after(max(timeouts, default=self._transport.close_timeout))
        if self._must_send_rest():
            await self._send_rest()
        await self._http.handle(Closed())
        with contextlib.suppress(OSError):  # uvloop's ENOTCONN of a reset peer is not caught there
            await self._close_tcp()
        self._transport.abort()  # if hypercorn has to exit

    def _must_send_rest(self) -> bool:
        """Whether hypercorn has cancelled its task that sends."""
        state = self._http.connection.state_machine.state
        return not self._http.closed and state is not ConnectionState.CLOSED

    async def _send_rest(self) -> None:
        """Send what the windows have room for: the end of each stream, for one."""
        with contextlib.suppress(DeadlockError):
            while True:
                await self._send_data(next(self._http.priority))
        self._http.connection.close_connection()
        await self._flush()


def _nothing() -> None:
    pass


def joined(http: Any, tcp: Any) -> HTTP2Connection:
    """Return what the streams of a connection share; a first stream makes it."""
    owner = getattr(http.handle, "__self__", None)
    return owner if type(owner) is HTTP2Connection else HTTP2Connection(http, tcp)
