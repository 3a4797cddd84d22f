"""uvicorn's `websockets-sansio` protocol, the default."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from .reading import TOUCHED as READING_TOUCHED
from .reading import reading_ahead

TOUCHED = (
    *READING_TOUCHED,
    "frames",
    "handle_bytes",
    "handle_close",
    "handle_connect",
    "handle_cont",
    "handle_events",
    "handle_text",
)
"""The undocumented attributes on which this module rests."""


CONT, TEXT, BINARY, PING, PONG = (
    Opcode.CONT,
    Opcode.TEXT,
    Opcode.BINARY,
    Opcode.PING,
    Opcode.PONG,
)

PONG_BYTE = b"\x8a"
"""How an unfragmented Pong frame begins (5.2)."""

FRAGMENTS = 1024
"""So many fragments are kept apart: an object for each may hold far more than its bytes."""


class KeepaliveProtocol(reading_ahead(WebSocketsSansIOProtocol)):  # type: ignore[misc]
    """Serves the `websocket.ping` extension, which `docs/extension.md` specifies."""

    touched = TOUCHED
    frames: list[bytes]
    _joined = 0  # of them, from many fragments each

    def handle_events(self) -> None:
        # uvicorn's own looks each opcode up in an enumeration, several times a frame.
        for event in self.conn.events_received():
            if isinstance(event, Frame):
                opcode = event.opcode
                if opcode is BINARY:
                    self.handle_bytes(event)
                elif opcode is TEXT:
                    self.handle_text(event)
                elif opcode is CONT:
                    self.handle_cont(event)
                elif opcode is PING:
                    self.handle_ping()
                elif opcode is PONG:
                    self.handle_pong(event)
                else:
                    self.handle_close(event)
            else:
                self.handle_connect(event)

    def handle_ping(self) -> None:
        if self.may_pong():
            super().handle_ping()
            return
        for frame in self.conn.data_to_send():
            if frame[:1] == PONG_BYTE:
                self._pong = frame
            else:
                self.transport.write(frame)  # the reply to a Close that came with the Ping

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        self._joined = min(self._joined, len(self.frames))
        if len(self.frames) - self._joined >= FRAGMENTS:
            self.frames[self._joined :] = [b"".join(self.frames[self._joined :])]
            self._joined += 1

    def is_between_frames(self) -> bool:
        """Whether the library's parser waits for the first byte of a frame."""
        waits_in = self.conn.parser
        while waits_in.gi_yieldfrom is not None:
            waits_in = waits_in.gi_yieldfrom
        return bool(waits_in.__name__ == "at_eof")  # not in read_exact

    def handle_pong(self, event: Frame) -> None:
        self.extension.pong(bytes(event.data))
        super().handle_pong(event)

    def write_close(self, code: int, reason: str) -> None:
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.failed(code, reason)
