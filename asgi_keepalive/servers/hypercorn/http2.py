"""hypercorn over HTTP/2 (RFC 8441), where a connection is one stream of several.

A `WSStream` gets each event of its stream in `handle`, and sends by way of its `send`. Both are the
adapter's: what comes goes to the endpoint, once the application has accepted, and what is sent goes
into the stream's buffer.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from hypercorn.protocol.events import Body, Data, EndBody, Response

from ...endpoint.adapter import disconnect
from ...endpoint.closing import BoundedTransport
from ...endpoint.libraries import unparsed_by_wsproto
from ...extension import Traffic
from .exiting import unwatch, watch
from .stream import ENDED_BY_APPLICATION, StreamAdapter
from .streams import HTTP2Connection


class HTTP2Adapter(StreamAdapter):
    """A stream.

    Args:
        stream: The `WSStream`.
        connection: What it shares with the other streams.
    """

    __slots__ = (
        "_connection",
        "_frames",
        "_handle",
        "_has_responded",
        "_room",
        "_send",
        "_writing_paused",
    )

    def __init__(self, stream: Any, connection: HTTP2Connection) -> None:
        super().__init__(stream)
        self.loop = connection.loop
        self.transport = self._frames = connection.add(stream.stream_id)
        self._connection = connection
        self._has_responded = connection.has_responded(stream.stream_id)
        self._room: asyncio.Future[None] | None = None  # for which `send` waits
        self._writing_paused = False
        self._handle = stream.handle
        self._send = stream.send
        stream.handle = self._handle_event
        stream.send = self._send_event
        is_refused = self._has_responded and not stream.handshake.accepted
        if is_refused or stream.closed:
            stream.closed = True  # so that the application does not respond, too
            self._frames.lost()

    # The beginning.

    def use_transport(self, transport: BoundedTransport) -> None:
        self.transport = self._frames.bounded = transport

    def watch_exit(self) -> None:
        watch(self._connection.tcp, self)

    def forward(self, data: bytes) -> None:
        self._stream.connection.receive_data(data)  # `unparsed` takes it from there

    def unparsed(self) -> bytes | None:
        return unparsed_by_wsproto(self._stream.connection) if self.is_open() else None

    # Between the two ends.

    def traffic(self) -> Traffic:
        return {"unsent": 0}  # the kernel's numbers are those of all streams

    def bound_unsent(self) -> None:
        self._connection.bound_unsent()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        room, self._room = self._room, None
        if room is not None:
            room.set_result(None)

    async def _until_room(self) -> None:
        if self._writing_paused:
            if self._room is None:
                self._room = self.loop.create_future()
            await asyncio.shield(self._room)  # if one call is cancelled the others still wait

    async def _handle_event(self, event: Any) -> None:
        """Take an event of the stream; hypercorn reads on when this has returned."""
        if isinstance(event, Body) and not self._stream.handshake.accepted:
            await self._refuse()
        elif isinstance(event, Body):
            began = time.monotonic()
            self._frames.data_received(event.data)
            if began > self._connection.turn_ends:
                await self._connection.take_turns()
        elif isinstance(event, EndBody):
            self._frames.eof_received()
        else:  # hypercorn has forgotten it, as the peer has reset it, TCP has ended, or it is over
            self._frames.lost()
            self._reading_is_over()
            await self._handle(event)

    async def _refuse(self) -> None:
        """Refuse a client that speaks before it was accepted, as hypercorn does."""
        if not self._stream.closed:
            self._stream.closed = True  # first: the application must not accept it meanwhile
            await self._stream._send_error_response(400)

    async def _send_event(self, event: Any) -> None:
        if isinstance(event, Response):
            if not self._has_responded:  # h2 could not send another, but would count it as sent
                self._has_responded = True
                await self._send(event)
        elif isinstance(event, (Body, Data)):
            self.transport.write(event.data)
            if self.is_open() or isinstance(event, Body):  # a Close frame does not wait
                await self._until_room()
        else:  # the end; the peer's Close frame may still come
            self.transport.abort_after(self.transport.close_timeout)
            self._frames.end()

    # The end.

    def peer_failed(self, code: int, reason: str) -> None:
        self._reading_is_over()
        self.transport.close()

    def eof_received(self) -> None:
        self._reading_is_over()

    def end_writing(self) -> None:
        self.resume_writing()

    def _end_reading(self, code: int, reason: str = "") -> None:
        self.queue.end(disconnect(code, reason))

    def _reading_is_over(self) -> None:
        """No Close frame will come (RFC 6455 7.1.5), unless it has, and is still to be read."""
        # hypercorn tells it so.
        code = 1000 if self._stream.state in ENDED_BY_APPLICATION else 1006
        self.queue.end_behind_held(disconnect(code))

    def connection_lost(self, exc: Exception | None) -> None:
        unwatch(self._connection.tcp, self)
        self._reading_is_over()
        self._connection.remove(self._stream.stream_id)
