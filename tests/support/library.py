"""The parser of `websockets` as a yardstick for what a peer has sent: it reads by itself.

What is wrong in the library is mended here, see `Library`.
"""

from __future__ import annotations

import codecs
import zlib
from typing import Any

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import SERVER, Protocol

from asgi_keepalive.endpoint.events import Close, Event, Ping, Pong
from asgi_keepalive.endpoint.inflate import PADDED_ENDS, longest_deflated

from .client import CLOSE, PING, PONG, TEXT

CONTINUATION = 0


class Deflate(PerMessageDeflate):
    """The library's extension, which looks at what zlib does once a block was the last one."""

    kept: Any
    left = 0
    """How much larger the message may become."""

    @property
    def decoder(self) -> Any:
        return self.kept

    @decoder.setter
    def decoder(self, decoder: Any) -> None:
        self.kept = decoder

    @decoder.deleter
    def decoder(self) -> None:
        """Keep it."""

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        # One byte more says that there is too much of it, whatever else is wrong further on.
        decoded = super().decode(frame, max_size=self.left + 1)
        if decoded is not frame and self.kept.eof:
            if self.kept.unused_data not in PADDED_ENDS:
                raise ProtocolError("decompression failed")
            if frame.fin:
                self.kept = zlib.decompressobj(wbits=-self.remote_max_window_bits)
        return decoded


class Library:
    """`websockets`' own parser, and the joining and decoding that it leaves to others.

    It is given one byte at a time, and before each frame a bound of that frame's own. Four faults
    of the library are taken from it:

    - It refuses a Close frame in a message in fragments.
    - It measures a control frame with what `max_size` leaves for the message it stands in.
    - It measures a compressed frame as it is, so that noise of `max_size` bytes, or the deflated
      nothing that ends a message of that size, is too large.
    - After a compressed block that says it is the last one (RFC 7692 7.2.3.4) its messages are
      empty, and what comes in their place is kept without a bound.

    Args:
        max_size: The largest message in bytes.
        deflate: Whether permessage-deflate was agreed.
        alone: Whether each deflated message is without context.
        window_bits: Of those.

    Attributes:
        is_between_frames: Whether no frame has come in part.
    """

    def __init__(self, max_size: int, *, deflate: bool, alone: bool, window_bits: int) -> None:
        self._max_size = max_size
        self.protocol: Any = Protocol(SERVER, max_size=max_size)
        self.extension = Deflate(alone, True, window_bits, window_bits)
        if deflate:
            self.protocol.extensions = [self.extension]
        self.events: list[Event] = []
        self.code: int | None = None
        """With which the connection fails, if it does."""
        self.is_closed = False
        self.is_between_frames = True
        self._first = 0
        self._is_text = False
        self._parts: list[Any] = []
        self._size = 0

    @property
    def is_done(self) -> bool:
        return self.code is not None or self.is_closed

    def feed(self, data: bytes) -> None:
        for byte in data:
            if self.is_done:
                return
            if self.is_between_frames:
                self._first = byte
                self._set_bound()
            self.protocol.receive_data(bytes([byte]))
            frames = self.protocol.events_received()
            self.is_between_frames = bool(frames)
            for frame in frames:
                self._take(frame)
            error = self.protocol.parser_exc
            if str(error) == "incomplete fragmented message":
                self._take_close()
            elif error is not None and self.code is None:
                self.code = self.protocol.close_sent.code
                if self._first & 8 and isinstance(error, PayloadTooBig):
                    self.code = 1002

    def _set_bound(self) -> None:
        opcode = self._first & 15
        compressed = self.protocol.extensions and (
            self._first & 0x40 if opcode else self.extension.decode_cont_data
        )
        left = self.extension.left = self._max_size - self._size
        if self._first & 0x30 or (opcode and self._parts):
            self.extension.left = 2**20  # it cannot stand here, whatever it is inflated
        if opcode & 8:
            left = 125
        elif compressed:
            left = longest_deflated(left)
        # What older releases call it, and newer ones.
        for name in "max_size", "max_message_size":
            setattr(self.protocol, name, self._size + left)

    def _take(self, frame: Frame) -> None:
        payload = bytes(frame.data)
        if frame.opcode == PING:
            self.events.append(Ping(payload))
        elif frame.opcode == PONG:
            self.events.append(Pong(payload))
        elif frame.opcode == CLOSE:
            self._take_close()
        else:
            self._take_data(frame, payload)

    def _take_close(self) -> None:
        close = self.protocol.close_rcvd
        self.events.append(Close(close.code, close.reason))
        self.is_closed = True

    def _take_data(self, frame: Frame, payload: bytes) -> None:
        if frame.opcode != CONTINUATION:
            self._is_text = frame.opcode == TEXT
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._size += len(payload)
        if self._size > self._max_size:
            self.code = 1009
            return
        try:
            self._parts.append(
                self._decoder.decode(payload, frame.fin) if self._is_text else payload
            )
        except UnicodeDecodeError:
            self.code = 1007
            return
        if frame.fin:
            self.events.append(("" if self._is_text else b"").join(self._parts))
            self._parts = []
            self._size = 0
