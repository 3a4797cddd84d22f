"""hypercorn over HTTP/1.1.

Four objects make a connection: a stream (`WSStream`, whose `app_send` is the application's `send`),
the `H11Protocol` beneath, the `TCPServer` with its task that reads, and a stream reader's protocol
on the transport. Until the application accepts, that last one gets what comes; from then on the
task that reads learns only that the connection has ended.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ...endpoint.adapter import disconnect
from ...endpoint.closing import BoundedTransport
from ...endpoint.libraries import unparsed_by_wsproto
from .exiting import unwatch, watch
from .stream import CONNECTED, StreamAdapter
from .tcp import detach


class HTTP1Adapter(StreamAdapter):
    """A connection over HTTP/1.1.

    Args:
        stream: The `WSStream`.
        tcp: The `TCPServer`.
    """

    __slots__ = ("_close_tcp", "_reader", "_tcp", "_writing_paused")

    def __init__(self, stream: Any, tcp: Any) -> None:
        super().__init__(stream)
        self.loop = tcp.loop
        self.transport = tcp.writer.transport
        self._close_tcp = tcp._close
        self._reader: Any = self.transport.get_protocol()
        self._tcp = tcp
        self._writing_paused = False

    # The beginning.

    def use_transport(self, transport: BoundedTransport) -> None:
        detach(self.transport)
        # The writer has no other way to be given a transport.
        self.transport = self._tcp.writer._transport = transport
        # hypercorn waits there for the end of TCP, whatever the peer does.
        self._tcp._close = self._close

    def watch_exit(self) -> None:
        watch(self._tcp, self)

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

    # Between the two ends.

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

    # The end.

    async def _close(self) -> None:
        """Close TCP; hypercorn waits for the end of that, unless it has to exit."""
        with contextlib.suppress(OSError):  # uvloop's ENOTCONN of a reset peer is not caught there
            await self._close_tcp()
        self.transport.abort()

    def peer_failed(self, code: int, reason: str) -> None:
        if self._stream.state is CONNECTED:
            self._end_reading(1006)  # as no Close frame was received (RFC 6455 7.1.5)
        else:
            self._reader.eof_received()
        self.transport.write_eof()

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
        unwatch(self._tcp, self)
        self._reader.connection_lost(exc)
