"""Servers that do to a connection what a test says, as bad servers, proxies and NATs do."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..support.client import CLOSE, PING, PONG

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Script = Callable[["Peer"], None]


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.request = b""
        self._buffer = b""

    def read_request(self) -> None:
        while b"\r\n\r\n" not in self.request:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.request += data

    def accept(self, *headers: str, then: bytes = b"") -> None:
        """Answer the request with an upgrade, and send something with the same packet."""
        self.read_request()
        [asked] = [
            line.partition(b": ")[2]
            for line in self.request.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        ]
        digest = base64.b64encode(hashlib.sha1(asked + GUID).digest()).decode()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            *("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {digest}"),
            *headers,
        ]
        head = "".join(f"{line}\r\n" for line in [*lines, ""])
        self.socket.sendall(head.encode() + then)

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.socket.sendall(bytes([0x80 | opcode, len(payload)]) + payload)

    def receive(self, timeout: float | None = None) -> tuple[int, bytes]:
        """Return the next frame, whose payload is not unmasked.

        Raises:
            EOFError: The client has closed the connection.
            TimeoutError: Nothing has come.
        """
        self.socket.settimeout(timeout)
        while (found := self._parse()) is None:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self._buffer += data
        return found

    def _parse(self) -> tuple[int, bytes] | None:
        # A client's frame has four more bytes than its length says, the mask.
        if len(self._buffer) < 6:
            return None
        length = self._buffer[1] & 0x7F
        opcode = self._buffer[0] & 0x0F
        frame, self._buffer = self._buffer[: 6 + length], self._buffer[6 + length :]
        mask = frame[2:6]
        return opcode, bytes(byte ^ mask[i % 4] for i, byte in enumerate(frame[6:]))

    def answer(self, idle: float = 60, life: float = 60) -> None:
        """Answer Pings until nothing has come for so long, for so long, or the client leaves."""
        end = time.monotonic() + life
        while (left := end - time.monotonic()) > 0:
            try:
                opcode, payload = self.receive(min(idle, left))
            except TimeoutError:
                return
            if opcode == PING:
                self.send(PONG, payload)
            elif opcode == CLOSE:
                self.send(CLOSE, payload)
                raise EOFError

    def reset(self) -> None:
        """Let the client get a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


@contextmanager
def scripted(script: Script, address: str = "127.0.0.1") -> Iterator[int]:
    """Serve connections in this context, each by a script, and yield the port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    open_: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def play(sock: socket.socket) -> None:
        with sock, suppress(OSError, EOFError):
            script(Peer(sock))

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listening.accept()
                open_.append(sock)
                threads.append(threading.Thread(target=play, args=(sock,)))
                threads[-1].start()

    with socket.create_server((address, 0), family=family) as listening:
        accepting = threading.Thread(target=accept)
        accepting.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for sock in open_:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(timeout=10)
