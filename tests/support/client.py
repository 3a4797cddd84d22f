"""A WebSocket client made of a plain socket, so that it can misbehave."""

from __future__ import annotations

import base64
import ctypes
import os
import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import Self

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Client:
    """Connects and shakes hands; everything else is up to the test.

    Args:
        port: Of the server.
        address: Of the server.
        receive_buffer: Bytes that the kernel may take in while the client reads nothing.
        tls: What verifies the server's certificate, for wss.
    """

    def __init__(
        self,
        port: int,
        *,
        address: str = "127.0.0.1",
        path: str = "/",
        headers: str = "",
        receive_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        raw = socket.socket()
        raw.settimeout(10)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.connect((address, port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = raw.getsockname()[1]
        self.socket = tls.wrap_socket(raw, server_hostname="localhost") if tls else raw
        self.buffer = b""
        self.socket.sendall(upgrade(path, headers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def response(self) -> str:
        """Return the head of the handshake's response."""
        while b"\r\n\r\n" not in self.buffer:
            self._fill()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.decode()

    def open(self) -> Self:
        """Finish the handshake."""
        response = self.response()
        assert " 101 " in response, response
        return self

    def send(self, opcode: int, payload: bytes = b"") -> None:
        """Send a frame."""
        self.socket.sendall(frame(opcode, payload))

    def receive(self) -> tuple[int, bytes]:
        """Return the opcode and payload of the next frame.

        Raises:
            EOFError: The server has closed the connection.
        """
        while (found := self._parse()) is None:
            self._fill()
        return found

    def expect(self, opcode: int) -> bytes:
        """Return the payload of the next frame, which must have this opcode."""
        found, payload = self.receive()
        assert found == opcode, (found, payload)
        return payload

    def answer(self, seconds: float, *, delay: float = 0) -> list[tuple[int, bytes]]:
        """Answer Pings for a while; return the other frames that came."""
        others = []
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                opcode, payload = self.receive()
            except (TimeoutError, EOFError):
                break
            finally:
                self.socket.settimeout(10)
            if opcode == PING:
                time.sleep(delay)
                self.send(PONG, payload)
            else:
                others.append((opcode, payload))
        return others

    def answer_until(self, opcode: int) -> bytes:
        """Answer Pings until a frame with this opcode comes; return its payload."""
        while (found := self.receive())[0] == PING:
            self.send(PONG, found[1])
        assert found[0] == opcode, found
        return found[1]

    def read_slowly(self, rate: float, *sizes: int) -> None:
        """Read binary messages of zeros, so many bytes a second, and answer Pings in between."""
        waiting = list(sizes)
        while waiting:
            while (found := self._parse()) is None:
                before = len(self.buffer)
                self._fill()
                time.sleep((len(self.buffer) - before) / rate)
            if found[0] == PING:
                self.send(PONG, found[1])
            else:
                assert found == (BINARY, bytes(waiting.pop(0)))

    def until_end(self) -> list[tuple[int, bytes]]:
        """Read, answering nothing, until the server closes; return the frames that came."""
        frames = []
        with suppress(EOFError, ConnectionError):
            while True:
                frames.append(self.receive())
        return frames

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def _parse(self) -> tuple[int, bytes] | None:
        found = parse(self.buffer)
        if found is None:
            return None
        opcode, payload, self.buffer = found
        return opcode, payload


def upgrade(path: str, headers: str = "") -> bytes:
    """Return the request that begins a handshake."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        f"Sec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
    )


def parse(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return the opcode and payload of the first frame, and what follows it, once it is there."""
    if len(data) < 2:
        return None
    length, start = data[1] & 0x7F, 2
    if length == 126:
        start = 4
        length = int.from_bytes(data[2:4], "big")
    elif length == 127:
        start = 10
        length = int.from_bytes(data[2:10], "big")
    end = start + length
    if len(data) < start or len(data) < end:
        return None
    return data[0] & 0x0F, data[start:end], data[end:]


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame as a client sends it, masked with zeros."""
    first = opcode | (0x80 if fin else 0)
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + bytes(4) + payload


def cut_off(peer: socket.socket) -> None:
    """Let nothing that is sent to this TCP socket arrive, as if its host were off the network.

    A socket filter that passes no byte makes the kernel drop each packet before TCP sees it:
    there is no ACK and no RST, ever. The socket has to stay open and send nothing (Linux).
    """
    return_0 = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET | BPF_K
    program = struct.pack("HL", 1, ctypes.addressof(return_0))
    peer.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER


def close_code(payload: bytes) -> tuple[int, str]:
    """Return the code and reason of a Close frame."""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode()
