"""hypercorn over HTTP/1.1.

Four objects make a connection: a stream (`WSStream`, whose `app_send` is the application's `send`),
the `H11Protocol` beneath, the `TCPServer` with its task that reads, and a stream reader's protocol
on the transport. Until the application accepts, that last one gets what comes; from then on the
task that reads learns only that the connection has ended.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from math import inf
from typing import Any

from hypercorn.protocol.ws_stream import ASGIWebsocketState
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection

from ...endpoint.adapter import ReadingAdapter, disconnect
from ...endpoint.closing import BoundedTransport
from ...endpoint.inflate import Inflater
from ...endpoint.libraries import inflater_of_wsproto, unparsed_by_wsproto
from ...endpoint.queue import ReadAheadQueue
from ...extension import Disconnected, Event, Send

CONNECTED = ASGIWebsocketState.CONNECTED
"""The state of a stream that its application has accepted."""

ENDED_BY_APPLICATION = {ASGIWebsocketState.CLOSED, ASGIWebsocketState.HTTPCLOSED}
"""The states of a stream that its application has closed, or denied."""


class HTTP1Adapter(ReadingAdapter):
    """A connection over HTTP/1.1.

    Args:
        stream: The `WSStream`.
        tcp: The `TCPServer`.
    """

    def __init__(self, stream: Any, tcp: Any) -> None:
        self.loop = tcp.loop
        self.max_size = stream.config.websocket_max_message_size
        self.max_unread = stream.config.max_app_queue_size or inf
        self.transport = tcp.writer.transport
        self._close_tcp = tcp._close
        self._reader: Any = self.transport.get_protocol()
        self._send_event = stream._send_wsproto_event
        self._stream = stream
        self._tcp = tcp
        self._writing_paused = False

    # The beginning.

    def use_transport(self, transport: BoundedTransport) -> None:
        _detach(self.transport)
        # The writer has no other way to be given a transport.
        self.transport = self._tcp.writer._transport = transport
        # hypercorn waits there for the end of TCP, whatever the peer does.
        self._tcp._close = self._close
        # Only there both of the application's ends pass: its close, and its return.
        self._stream._send_wsproto_event = self._send_wsproto_event

    def use_queue(self, queue: ReadAheadQueue) -> None:
        own = self._stream.app_put.__self__
        queue.take_from(own)
        queue.stand_behind(own)
        self.queue = queue
        self._stream.app_put = self._put

    async def _put(self, event: Event) -> None:
        self.queue.put_nowait(event)

    def stop_keepalive(self) -> None:
        # Its pings have no timeout, so those that have begun may go on.
        if self._stream.state is not CONNECTED:
            self._stream.config = copy.copy(self._stream.config)  # it is the whole server's
            self._stream.config.websocket_ping_interval = None

    def forward(self, data: bytes) -> None:
        self._reader.data_received(data)

    def unparsed(self) -> bytes | None:
        if not self.is_open():
            return None
        unparsed = unparsed_by_wsproto(self._stream.connection)
        if unparsed is not None:
            # The task that reads has not seen this yet.
            buffer = self._tcp.reader._buffer
            unparsed += bytes(buffer)
            buffer.clear()
            self.transport.resume_reading()  # the reader may have paused it
        return unparsed

    def inflater(self) -> Inflater | None:
        return inflater_of_wsproto(self._stream.connection)

    # Between the two ends.

    def is_open(self) -> bool:
        return (
            self._stream.state is CONNECTED
            and not self.transport.is_closing()
            and self._stream.connection.state is ConnectionState.OPEN
        )

    def message(self, data: str | bytes) -> Event:
        text, binary = (data, None) if type(data) is str else (None, data)
        return {"type": "websocket.receive", "bytes": binary, "text": text}

    def has_read(self) -> None:
        if self._tcp.config.read_timeout is not None:
            self._tcp.reader._wakeup_waiter()  # it has nothing to read, but no reason to give up

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._reader.pause_writing()

    def resume_writing(self) -> None:
        if self._writing_paused:  # not if `end_writing` has been here before
            self._writing_paused = False
            self._reader.resume_writing()

    async def pass_on(self, send: Send, event: Event) -> None:
        """Pass an event of the application, but a message, to the server's own `send`."""
        if event["type"] in {"websocket.accept", "websocket.close"}:
            await send(event)
        else:
            await self.send_message(send, event)

    async def send_message(self, send: Send, event: Event) -> None:
        """Pass a message, or a part of a denial, to `send`, which drops in silence what is late."""
        if self._stream.closed or self._is_lost():
            raise Disconnected
        await send(event)
        if self._is_lost():
            raise Disconnected

    def _is_lost(self) -> bool:
        """Whether the connection has ended, or is about to, and not by the application."""
        if self._stream.state in ENDED_BY_APPLICATION:
            return False
        return self.transport.is_closing() or (
            self._stream.state is CONNECTED and not self.is_open()
        )

    # The end.

    async def _send_wsproto_event(self, event: Any) -> None:
        if isinstance(event, CloseConnection):  # as the application has closed, or returned
            self.transport.abort_after(self.transport.close_timeout)  # it may have to wait
            self.queue.discard()
        await self._send_event(event)

    async def _close(self) -> None:
        """Close TCP; hypercorn waits for the end of that, unless it has to exit."""
        with contextlib.suppress(OSError):  # uvloop's ENOTCONN of a reset peer is not caught there
            await self._close_tcp()
        self.transport.abort()

    def peer_closed(self, code: int, reason: str) -> None:
        if self.is_open():
            self.write_close(code, reason)
        self._end_reading(code, reason)
        self.transport.write_eof()

    def peer_failed(self, code: int, reason: str) -> None:
        if self._stream.state is CONNECTED:
            self._end_reading(1006)  # as no Close frame was received (RFC 6455 7.1.5)
        else:
            self._reader.eof_received()
        self.transport.write_eof()

    def failed(self, code: int, reason: str) -> None:
        self._end_reading(code, reason)

    def end_writing(self) -> None:
        self.resume_writing()

    def _end_reading(self, code: int, reason: str = "") -> None:
        """Let hypercorn end the connection: to its task that reads, the peer has gone."""
        # Its own disconnect would be 1006, whatever the Close frame said.
        self.queue.end(disconnect(code, reason))
        self._reader.eof_received()

    def eof_received(self) -> None:
        self._reader.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.connection_lost(exc)


def _detach(transport: Any) -> None:
    """Let the server exit while this connection is open.

    asyncio's `Server.wait_closed` waits, since Python 3.12, until all connections are gone, and
    hypercorn calls it before it begins to count its `graceful_timeout`.
    """
    tls = getattr(transport, "_ssl_protocol", None)
    transport = getattr(tls, "_transport", transport)
    server = getattr(transport, "_server", None)  # uvloop's have none, nor do they wait
    if server is not None:
        with contextlib.suppress(AttributeError, TypeError):  # of an asyncio that is different
            server._detach(*([transport] if sys.version_info >= (3, 13) else []))
            transport._server = None
