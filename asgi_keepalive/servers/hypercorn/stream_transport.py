"""The transport of one HTTP/2 stream.

To the endpoint it is one of asyncio's that knows no half-close, as those of TLS know none:
`close` ends the server's side (END_STREAM) behind what is buffered, and waits for the peer's;
`abort` resets the stream. TCP, which it shares with others, ends only if it is dead as a whole.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from ...endpoint.closing import BoundedTransport
from .life import Asked, Life
from .windows import Window

HIGH, LOW = 32 * 1024, 16 * 1024
"""Bytes in the buffer from which on `send` waits, and at which it goes on: hypercorn's numbers."""


class Shared(Protocol):
    """The connection, as its streams need it."""

    life: Life
    loop: asyncio.AbstractEventLoop

    def has_responded(self, stream_id: int) -> bool: ...
    def size(self, stream_id: int) -> int | None: ...
    def write(self, stream_id: int, data: bytes) -> None: ...
    def end_stream(self, stream_id: int) -> None: ...
    def reset_stream(self, stream_id: int) -> None: ...
    def window(self, stream_id: int) -> Window: ...


class StreamTransport(asyncio.Transport):
    """The transport of one stream.

    Args:
        connection: It has the stream's buffer and window.
        stream_id: Of the stream.

    Attributes:
        bounded: Stands before this one.
        window: Is withheld while reading is paused.
    """

    __slots__ = (
        "_asked",
        "_connection",
        "_eof_is_due",
        "_is_closing",
        "_is_lost",
        "_peer_has_ended",
        "_protocol",
        "_stream_id",
        "_writing_paused",
        "bounded",
        "window",
    )

    bounded: BoundedTransport

    def __init__(self, connection: Shared, stream_id: int) -> None:
        super().__init__()
        self.window = connection.window(stream_id)
        self._asked: Asked | None = None
        self._connection = connection
        self._eof_is_due = False
        self._is_closing = False
        self._is_lost = False
        self._peer_has_ended = False
        self._protocol: Any = None
        self._stream_id = stream_id
        self._writing_paused = False

    # The endpoint calls these.

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._is_closing or self._is_lost

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self._connection.size(self._stream_id) or 0

    def write(self, data: Any) -> None:
        if self._asked is not None:
            return  # nothing follows the end
        self._connection.write(self._stream_id, data)
        if not self._writing_paused and self.get_write_buffer_size() >= HIGH:
            self._writing_paused = True
            self._protocol.pause_writing()

    def pause_reading(self) -> None:
        self.window.withhold()

    def resume_reading(self) -> None:
        self.window.release()
        if self._eof_is_due:
            self._eof_is_due = False
            self._connection.loop.call_soon(self.eof_received)

    def end(self) -> None:
        """End the server's side, behind what is buffered; what comes is still told.

        Without a response there is nothing that could be ended (RFC 9113 8.1).
        """
        if self._asked is not None or self._is_lost:
            return
        if self._connection.has_responded(self._stream_id):
            self._asked = self._connection.life.ask()
            self._connection.end_stream(self._stream_id)
        else:
            self.abort()

    def close(self) -> None:
        self._is_closing = True
        self.end()

    def abort(self) -> None:
        if not self._is_lost:
            self._connection.reset_stream(self._stream_id)
            if self._asked is not None:
                self._connection.life.abort_if_dead(self._asked)
            self.lost()

    # The connection tells of these.

    def data_received(self, data: bytes) -> None:
        """DATA has come."""
        self._protocol.data_received(data)

    def eof_received(self) -> None:
        """The peer has ended its side (END_STREAM)."""
        if self.window.is_withheld:  # something that came before has not been read
            self._eof_is_due = True
            return
        self._peer_has_ended = True
        if not self._is_lost and not self._protocol.eof_received():
            self.close()
        self.sent()

    def sent(self) -> None:
        """Something of what was buffered has been sent, perhaps the end."""
        size = self._connection.size(self._stream_id)
        if size is None:
            if self._peer_has_ended:
                self.lost()
        elif self._writing_paused and size <= LOW:
            self._writing_paused = False
            self._protocol.resume_writing()

    def lost(self) -> None:
        """The stream is over on both sides, or was reset."""
        if not self._is_lost:
            self._is_lost = True
            self._connection.loop.call_soon(self._tell_lost)

    def _tell_lost(self) -> None:
        self._protocol.connection_lost(None)
