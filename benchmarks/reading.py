"""A server that streams, and its clients."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from contextlib import suppress
from typing import BinaryIO

from tests.support.client import PING, PONG, frame, upgrade

from .measure import MIDDLEWARE, Process

BOUNDED = {MIDDLEWARE: True, "without the bound": False}
"""Whether each contender bounds what is in front of a Ping."""

MESSAGE = 64 * 1024
"""The size of the messages that are streamed."""


class Server(Process):
    """A process of `benchmarks.streams`."""

    def __init__(
        self, loop: str, address: str, bounded: bool, certificate: str | None = None
    ) -> None:
        options = json.dumps(bounded), json.dumps(certificate)
        super().__init__(0, "benchmarks.streams", loop, address, *options)
        self.address = address
        self.port: int = self.hear()

    def report(self) -> tuple[dict[str, list[float]], int]:
        """Return the round trips since the last report, and what the kernel holds in bytes."""
        self.tell("")
        round_trips, held = self.hear()
        return round_trips, held


class Reader:
    """A client that reads all that comes, and answers Pings, in a thread of its own.

    Attributes:
        received: So many bytes of messages have come.
    """

    def __init__(
        self, server: Server, name: str, size: int = MESSAGE, tls: ssl.SSLContext | None = None
    ) -> None:
        self.received = 0
        sock = socket.create_connection((server.address, server.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = tls.wrap_socket(sock, server_hostname="localhost") if tls else sock
        self._socket.sendall(upgrade(f"/{name}/{size}"))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the connection."""
        with suppress(OSError):  # the server has ended it
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        _use_last_core()
        with self._socket.makefile("rb") as file:
            try:
                while file.readline() != b"\r\n":
                    pass
                while True:
                    self._read(file)
            except (OSError, ValueError):  # it has been closed
                pass

    def _read(self, file: BinaryIO) -> None:
        first, length = file.read(2)
        if length > 125:
            length = int.from_bytes(file.read(2 if length == 126 else 8), "big")
        payload = file.read(length)
        if first & 0x0F == PING:
            self._socket.sendall(frame(PONG, payload))
        else:
            self.received += len(payload)


class Drain(Reader):
    """A client that reads as fast as it can, and answers nothing.

    Attributes:
        received: So many bytes have come.
    """

    def _run(self) -> None:
        _use_last_core()
        buffer = bytearray(1 << 20)
        with suppress(OSError):  # it has been closed
            while size := self._socket.recv_into(buffer):
                self.received += size


def _use_last_core() -> None:
    """Run on another core than the server, which has the first."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
