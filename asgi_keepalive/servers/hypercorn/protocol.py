"""One connection of hypercorn's, over HTTP/1.1.

Four objects make it: a stream (`WSStream`, whose `app_send` is the application's `send`), the
`H11Protocol` beneath, the `TCPServer` with its task that reads, and a stream reader's protocol on
the transport. Here is a protocol that stands before that last one. It lets everything through
until the application accepts; from then on it parses what arrives itself, with the stream's own
wsproto connection, and the reader learns only that the connection has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import sys
from collections.abc import Callable
from math import inf
from typing import Any

from hypercorn.protocol.ws_stream import ASGIWebsocketState, FrameTooLargeError
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping
from wsproto.frame_protocol import CloseReason

from ...extension import Disconnected, Event, Send
from ..buffer import connect
from ..deflate import keep_messages_whole
from ..frames import framing
from ..reading import ReadAheadQueue
from ..speaking import Extension
from ..turns import taking_turns

CONNECTED = ASGIWebsocketState.CONNECTED
"""The state of a stream that its application has accepted."""

ENDED_BY_APPLICATION = {ASGIWebsocketState.CLOSED, ASGIWebsocketState.HTTPCLOSED}
"""The states of a stream that its application has closed, or denied."""


class _Protocol(asyncio.Protocol):
    """Parses what arrives on an accepted connection."""

    answer_ping: Callable[[bytes], None]
    transport: Any

    def __init__(self, stream: Any, tcp: Any) -> None:
        self.stream = stream
        self.loop: asyncio.AbstractEventLoop = tcp.loop
        self.transport = transport = tcp.writer.transport
        speaker: Any = self  # whole with what `framing` adds
        self.extension = Extension(speaker)
        self._tcp = tcp
        self._reader: Any = self.transport.get_protocol()
        self._close_tcp = tcp._close
        self._send_event = stream._send_wsproto_event
        self._writing_paused = False
        self._accepted = False
        tcp.writer._transport = self.transport
        tcp._close = self._close
        stream._send_wsproto_event = self._send
        waiting = stream.app_put.__self__
        self.queue = ReadAheadQueue(self, stream.config.max_app_queue_size or inf)
        while not waiting.empty():
            self.queue.put_nowait(waiting.get_nowait())
        stream.app_put = self._put
        connect(self.transport, self.loop, self)
        _detach(transport)
        if transport.is_closing():
            self.extension.connection_lost()

    # From hypercorn.

    async def _put(self, event: Event) -> None:
        self.queue.put_nowait(event)

    async def _send(self, event: Any) -> None:
        if isinstance(event, CloseConnection):  # as the application has closed, or returned
            self.transport.abort_after(self.transport.close_timeout)  # it may have to wait
            self.queue.discard()
        await self._send_event(event)

    async def _close(self) -> None:
        """Close TCP; hypercorn waits for the end of that, unless it has to exit."""
        with contextlib.suppress(OSError):  # uvloop's ENOTCONN of a reset peer is not caught there
            await self._close_tcp()
        self.transport.abort()

    # From the application.

    async def send_other(self, send: Send, event: Event) -> None:
        """Pass an event of the application to `send`, which drops in silence what is too late."""
        if self.stream.closed or self._is_lost():
            raise Disconnected
        await send(event)
        if self._is_lost():
            raise Disconnected

    def _is_lost(self) -> bool:
        """Whether the connection has ended, or is about to, and not by the application."""
        if self.stream.state in ENDED_BY_APPLICATION:
            return False
        return self.transport.is_closing() or (self._accepted and not self.is_established())

    # From the transport.

    def data_received(self, data: bytes) -> None:
        if self._accepted:
            self._read_frames(data)
        else:
            self._reader.data_received(data)

    def eof_received(self) -> bool:
        self._reader.eof_received()
        return self.extension.eof_received()

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._reader.pause_writing()

    def resume_writing(self) -> None:
        if self._writing_paused:  # not if `end` has been here before
            self._writing_paused = False
            self._reader.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.extension.connection_lost()
        self._reader.connection_lost(exc)

    # Frames.

    def _read_frames(self, data: bytes) -> None:
        connection = self.stream.connection
        is_open = connection.state is ConnectionState.OPEN
        connection.receive_data(data)
        for event in connection.events():
            if isinstance(event, CloseConnection):
                self._receive_close(event)
            elif not is_open:
                pass  # it has crossed our Close frame
            elif isinstance(event, Message):
                if not self._receive(event):
                    break
            elif isinstance(event, Ping):
                self.answer_ping(connection.send(event.response()))
            else:
                self.extension.pong(bytes(event.payload))

    def _receive(self, event: Message[Any]) -> bool:
        """Return whether more can come."""
        buffer = self.stream.buffer
        try:
            buffer.extend(event)
        except FrameTooLargeError:
            self._refuse(CloseReason.MESSAGE_TOO_BIG)
            self.transport.linger()  # a peer that still sends would lose the Close frame
            return False
        if event.message_finished:
            self.queue.put_nowait(buffer.to_message())
            buffer.clear()
        return True

    def _receive_close(self, event: CloseConnection) -> None:
        """The peer has closed, or answered a Close frame, or what it sent is not WebSocket."""
        state = self.stream.connection.state
        if state is ConnectionState.OPEN:
            self._refuse(event.code)
        elif state is ConnectionState.LOCAL_CLOSING:  # still: this was no Close frame
            self._reader.eof_received()
        else:
            if state is ConnectionState.REMOTE_CLOSING:
                self._write(event.response())
            self._end_reading(event.code, event.reason or "")
        self.transport.write_eof()

    def _refuse(self, code: int) -> None:
        """Fail the connection because of what the peer has sent; TCP remains to be closed."""
        self._write(CloseConnection(code=code))
        self._end_reading(1006)  # as no Close frame was received (RFC 6455 7.1.5)

    def _write(self, event: CloseConnection) -> None:
        self.transport.write(self.stream.connection.send(event))

    def _end_reading(self, code: int, reason: str = "") -> None:
        """Let hypercorn end the connection: to its task that reads, the peer has gone."""
        # Its own disconnect would be 1006, whatever the Close frame said.
        self.queue.end({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._reader.eof_received()

    # What the extension asks for.

    @property
    def ping_interval(self) -> float | None:
        """hypercorn's own setting."""
        interval: float | None = self.stream.config.websocket_ping_interval
        return interval

    @ping_interval.setter
    def ping_interval(self, value: float | None) -> None:
        if self.ping_interval is not value:
            self.stream.config = copy.copy(self.stream.config)
            self.stream.config.websocket_ping_interval = value

    async def accepted(self) -> None:
        if self.stream.state is not CONNECTED:
            return  # the peer has gone
        self._accepted = True
        keep_messages_whole(self.stream.connection)
        # What came meanwhile, and its own task has not seen.
        buffer = self._tcp.reader._buffer
        early = bytes(buffer)
        buffer.clear()
        if early:
            self.data_received(early)
            self.go_on_reading()

    def may_write(self) -> bool:
        return not self._writing_paused

    def is_between_frames(self) -> bool:
        """Whether the library's parser waits for the first byte of a frame."""
        decoder = self.stream.connection._proto._frame_decoder
        return decoder.header is None and not decoder.buffer

    def is_established(self) -> bool:
        return (
            self._accepted
            and not self.transport.is_closing()
            and self.stream.connection.state is ConnectionState.OPEN
        )

    def go_on_reading(self) -> None:
        self.queue.go_on()

    def write_close(self, code: int, reason: str) -> None:
        self._write(CloseConnection(code=code, reason=reason))
        self._end_reading(code, reason)

    def end(self) -> None:
        self.resume_writing()


class KeepaliveProtocol(taking_turns(framing(_Protocol))):  # type: ignore[misc]
    """Speaks the `websocket.ping` extension, which `docs/extension.md` specifies."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._accepted and self._tcp.config.read_timeout is not None:
            self._tcp.reader._wakeup_waiter()  # it has nothing to read, but no reason to give up


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
