"""A client that never blocks: a test moves its bytes on, and sees how its connection ends."""

from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import Callable
from contextlib import suppress
from struct import pack

from ...support.client import BINARY, CLOSE, PING, PONG, TEXT, frame, upgrade

CHUNK = 65536
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"

Frame = tuple[int, bytes]
"""An opcode and a payload; of a message the whole, inflated."""


class Wire:
    """One connection, from the client's side; it does what the test says, in `pump`.

    Args:
        port: Of the server.
        path: Of the handshake.
        tls: What verifies the server's certificate, for wss.
        deflate: Whether permessage-deflate (RFC 7692) is offered.
        early: What is sent in one piece with the handshake.

    Attributes:
        out: What is to be sent.
        stream: Returns more to be sent, or nothing, when `out` is empty.
        on_close: Returns what is to be sent when a Close frame comes.
        reads: Whether it reads.
        head: The response to the handshake.
        frames: What has come since; Pings are not among them.
        ping: The payload of the last Ping.
        end: How the server ended the connection: "FIN", "RST" or, over TLS, "close_notify".
    """

    def __init__(
        self,
        port: int,
        path: str,
        *,
        tls: ssl.SSLContext | None = None,
        deflate: bool = False,
        early: bytes = b"",
    ) -> None:
        self.out = bytearray(upgrade(path, DEFLATE if deflate else "") + early)
        self.stream: Callable[[], bytes] = bytes
        self.on_close: Callable[[bytes], bytes] = lambda payload: b""
        self.reads = True
        self.head = b""
        self.frames: list[Frame] = []
        self.ping: bytes | None = None
        self.end: str | None = None
        self._in = b""
        self._parsed = 0
        self._message: tuple[int, bool, list[bytes]] | None = None
        self._shut: list[str] = []
        self._is_reset = False
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.port: int = self.socket.getsockname()[1]
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tls: ssl.SSLObject | None = None
        self._sealed = bytearray()  # what TLS has made of `out`
        if tls is not None:
            self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = tls.wrap_bio(self._received, self._to_send, server_hostname="localhost")
            self._shake_hands(self._tls)
        self.socket.setblocking(False)

    def _shake_hands(self, tls: ssl.SSLObject) -> None:
        done = False
        while not done:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            self.socket.sendall(self._to_send.read())
            if not done:
                self._received.write(self.socket.recv(CHUNK))

    # What a test does with it.

    def pump(self) -> bool:
        """Send and receive what is possible now; return whether there was anything."""
        if self.socket.fileno() < 0:
            return False
        sent = self._send()
        received = self.reads and self.end is None and self._receive()
        return sent or received

    def shut_down(self, how: str) -> None:
        """Close the sending side once all is sent: by "FIN", over TLS after a close_notify or not.

        Args:
            how: "FIN" to say so as the scheme demands, or "cut" for a bare FIN.
        """
        if not self._shut:
            self._shut = ["close_notify", "FIN"] if how == "FIN" and self._tls else ["FIN"]

    def reset(self) -> None:
        """Close TCP by RST."""
        if self.socket.fileno() >= 0:
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
            self.socket.close()

    def close(self) -> None:
        self.socket.close()

    @property
    def is_idle(self) -> bool:
        """Whether everything has been sent."""
        return not self.out and not self._sealed and not self._shut

    # Bytes.

    def _send(self) -> bool:
        if not self.out:
            self.out += self.stream()
        if self._tls is not None and self.out and not self._sealed:
            with suppress(ssl.SSLError):
                self._tls.write(self.out[: 4 * CHUNK])
                del self.out[: 4 * CHUNK]
            self._sealed += self._to_send.read()
        ready = self.out if self._tls is None else self._sealed
        if not ready:
            return self._send_end()
        try:
            sent = self.socket.send(ready)
        except BlockingIOError:
            return False
        except OSError as error:  # the server has gone, as reading tells
            self._is_reset |= isinstance(error, ConnectionResetError)  # only once
            self.out.clear()
            self._sealed.clear()
            self.stream = bytes
            return False
        del ready[:sent]
        return True

    def _send_end(self) -> bool:
        if not self._shut:
            return False
        if self._shut.pop(0) == "FIN":
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
        elif self._tls is not None:
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._sealed += self._to_send.read()
        return True

    def _receive(self) -> bool:
        try:
            data = self.socket.recv(4 * CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            self.end = "RST"
            return True
        if self._tls is not None:
            data = self._opened(self._tls, data)
        elif not data:
            self.end = "RST" if self._is_reset else "FIN"
        self._in += data
        self._parse()
        if self.end is not None:  # as every client does then
            self.out.clear()
            self.stream = bytes
            self.shut_down("FIN")
        return True

    def _opened(self, tls: ssl.SSLObject, data: bytes) -> bytes:
        """Return what TLS data contains."""
        if data:
            self._received.write(data)
        else:
            self.end = "RST" if self._is_reset else "FIN"
        contents = []
        with suppress(ssl.SSLWantReadError):
            try:
                while content := tls.read(CHUNK):
                    contents.append(content)
                self.end = "close_notify"
            except ssl.SSLZeroReturnError:
                self.end = "close_notify"
        self._sealed += self._to_send.read()
        return b"".join(contents)

    # Frames.

    def _parse(self) -> None:
        if not self.head:
            head, found, rest = self._in.partition(b"\r\n\r\n")
            if not found:
                return
            self.head, self._in = head + found, rest
            self._inflate = self._inflater()
        if b" 101 " not in self.head.partition(b"\r\n")[0]:
            self.head, self._in = self.head + self._in, b""
            return
        at = 0
        while (found_frame := _frame_at(self._in, at)) is not None:
            first, payload, at = found_frame
            self._take(first, payload)
        self._in = self._in[at:]

    def _inflater(self) -> Callable[[bytes], bytes]:
        context = zlib.decompressobj(-15)
        keeps_context = b"server_no_context_takeover" not in self.head

        def inflate(data: bytes) -> bytes:
            inflater = context if keeps_context else zlib.decompressobj(-15)
            return inflater.decompress(data + b"\0\0\xff\xff")

        return inflate

    def _take(self, first: int, payload: bytes) -> None:
        opcode, fin = first & 0x0F, first & 0x80
        if opcode == PING:
            self.ping = payload
        elif opcode >= CLOSE:
            self.frames.append((opcode, payload))
            if opcode == CLOSE:
                self.stream = bytes
                self.out += self.on_close(payload)
        else:
            if opcode:
                self._message = opcode, bool(first & 0x40), []
            assert self._message is not None
            kind, compressed, parts = self._message
            parts.append(payload)
            if fin:
                data = b"".join(parts)
                self.frames.append((kind, self._inflate(data) if compressed else data))


def _frame_at(data: bytes, at: int) -> tuple[int, bytes, int] | None:
    """Return the first byte and the payload of the frame there, and where it ends."""
    if len(data) < at + 2:
        return None
    length, start = data[at + 1] & 0x7F, at + 2
    if length >= 126:
        start += 2 if length == 126 else 8
        length = int.from_bytes(data[at + 2 : start])
    end = start + length
    return (data[at], data[start:end], end) if len(data) >= end else None


def answering(payload: bytes) -> bytes:
    """Return the answer to a Close frame (RFC 6455 5.5.1)."""
    return frame(CLOSE, payload[:2])


__all__ = ["BINARY", "CLOSE", "PING", "PONG", "TEXT", "Frame", "Wire", "answering", "frame"]
