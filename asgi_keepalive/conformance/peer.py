"""The peer: a WebSocket client made of a plain socket, so that it can misbehave."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
import time
from contextlib import ExitStack, suppress

from .outcomes import Failed, Trace

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NAMES = {TEXT: "Text", BINARY: "Binary", CLOSE: "Close", PING: "Ping", PONG: "Pong"}
PATIENCE = 3.0
"""Seconds that the peer waits for anything."""

NONSENSE = b"\xff" * 20
"""No frame begins so."""

ENDS_TLS = "FIN without close_notify"


class Peer:
    """Connects and asks for a WebSocket; everything else is up to the check."""

    def __init__(
        self,
        port: int,
        path: str,
        trace: Trace,
        tls: ssl.SSLContext | None,
        *,
        receive_buffer: int | None = None,
        headers: str = "",
    ) -> None:
        self.socket = connected(port, receive_buffer, tls)
        self.port: int = self.socket.getsockname()[1]
        self.trace = trace
        self.head = ""  # of the handshake's response
        self.rest = b""  # of a flood
        self._received = b""
        trace("peer asks for a WebSocket")
        self.socket.sendall(request(path, headers))

    def response(self) -> str:
        """Return the head of the handshake's response."""
        while b"\r\n\r\n" not in self._received:
            self._fill()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def open(self) -> None:
        """Finish the handshake."""
        self.head = self.response()
        self.trace(f"peer gets {self.head.splitlines()[0]}")
        if self.head.split(maxsplit=2)[1] != "101":
            raise Failed(f"the handshake was answered with {self.head.splitlines()[0]}")

    def send(self, opcode: int, payload: bytes = b"") -> None:
        """Send a frame."""
        self.trace(f"peer sends {shown(opcode, payload)}")
        self.socket.sendall(frame(opcode, payload))

    def write(self, data: bytes) -> None:
        """Send frames, or what is none."""
        self.trace(f"peer sends {len(data)} bytes")
        self.socket.sendall(data)

    def receive(self, timeout: float = PATIENCE) -> tuple[int, bytes]:
        """Return the opcode and payload of the next frame.

        Raises:
            EOFError: The server has shut down its sending side.
            ConnectionError: It has reset the connection.
            TimeoutError: No frame came in time.
        """
        end = time.monotonic() + timeout
        while (found := parsed(self._received)) is None:
            self.socket.settimeout(max(end - time.monotonic(), 0.001))
            self._fill()
        opcode, payload, self._received = found
        self.trace(f"peer gets {shown(opcode, payload)}")
        return opcode, payload

    def expect(self, opcode: int, payload: bytes | None = None) -> bytes:
        """Return the payload of the next frame, which must be this one."""
        try:
            found = self.receive()
            while found[0] == PING and payload not in {None, found[1]}:
                found = self.receive()  # a Ping of the server's own, which 1.3 is about
        except (EOFError, OSError) as exc:
            raise Failed(f"the peer got no {NAMES[opcode]}: {exc!r}") from exc
        if found[0] != opcode or payload not in {None, found[1]}:
            raise Failed(f"the peer got {shown(*found)} instead of {NAMES[opcode]}")
        return found[1]

    def until_end(
        self, timeout: float = PATIENCE, *, answering: bool = False
    ) -> tuple[list[tuple[int, bytes]], str]:
        """Read until the server's side ends, and answer a Close frame if that is asked for.

        Returns:
            The frames that came, and how it ended.
        """
        frames = []
        end = time.monotonic() + timeout
        try:
            while True:
                frames.append(self.receive(end - time.monotonic()))
                if answering and frames[-1][0] == CLOSE:
                    self.send(*frames[-1])
        except TimeoutError:
            how = "nothing"
        except EOFError:
            how = "FIN"
        except ssl.SSLError:
            how = ENDS_TLS
        except ConnectionError:
            how = "RST"
        self.trace(f"peer gets {how}")
        return frames, how

    def flood(self, data: bytes, most: int) -> bool:
        """Send again and again until nothing is read any more; return whether it came to that."""
        self.socket.settimeout(0.4)
        sent = 0
        try:
            while sent < most:
                self.rest = self.rest or data
                count = self.socket.send(self.rest)
                self.rest = self.rest[count:]
                sent += count
        except TimeoutError:
            self.trace(f"peer is blocked after {sent} bytes")
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False

    def half_close(self) -> None:
        """Shut down the sending side of TCP; over TLS without close_notify, as a crash does."""
        self.trace("peer sends FIN")
        socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def say_eof(self) -> None:
        """Shut down the sending side; over TLS with close_notify."""
        if isinstance(self.socket, ssl.SSLSocket):
            self.trace("peer sends close_notify")
            self.socket.settimeout(0)
            with suppress(ssl.SSLError):  # which it raises, as what the server sends is unread
                self.socket.unwrap()
            self.socket.settimeout(PATIENCE)
        self.half_close()

    def reset(self) -> None:
        """Reset the connection."""
        self.trace("peer sends RST")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def was_reset(self) -> bool:
        """Whether the server has reset the connection, though everything had been read."""
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the server has shut down its sending side")
        self._received += data


def connected(port: int, receive_buffer: int | None, tls: ssl.SSLContext | None) -> socket.socket:
    """Return a socket that is connected to the server."""
    raw = socket.socket()
    with ExitStack() as if_it_fails:
        if_it_fails.callback(raw.close)
        raw.settimeout(PATIENCE)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.connect(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            # A FIN without close_notify is to be told from one with it.
            raw = tls.wrap_socket(raw, suppress_ragged_eofs=False, server_hostname="localhost")
        if_it_fails.pop_all()
    return raw


def request(path: str, headers: str) -> bytes:
    """Return the request that begins a handshake."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    ).encode()


def frame(opcode: int, payload: bytes = b"") -> bytes:
    """Return a frame as a client sends it, masked with zeros; bit 6 of the opcode is RSV1."""
    head, length = 0x80 | opcode, len(payload)
    if length < 126:
        return struct.pack("!BB4x", head, 0x80 | length) + payload
    if length < 65536:
        return struct.pack("!BBH4x", head, 0xFE, length) + payload
    return struct.pack("!BBQ4x", head, 0xFF, length) + payload


def parsed(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return the opcode and payload of the first frame, and what follows it, once it is there."""
    if len(data) < 2:
        return None
    length, start = data[1] & 0x7F, 2
    if length >= 126:
        start = 4 if length == 126 else 10
        length = int.from_bytes(data[2:start], "big")
    end = start + length
    if len(data) < start or len(data) < end:
        return None
    return data[0] & 0x0F, data[start:end], data[end:]


def shown(opcode: int, payload: bytes) -> str:
    """Return a frame in words."""
    name = NAMES.get(opcode, f"opcode {opcode}")
    if opcode == CLOSE:
        code, reason = close_of(payload)
        return f"{name} {code} {reason}".rstrip()
    start = payload[:12].hex() + ("..." if len(payload) > 12 else "")
    return f"{name} {start}".rstrip()


def close_of(payload: bytes) -> tuple[int, str]:
    """Return the code and reason of a Close frame; 0 if it has none."""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")
