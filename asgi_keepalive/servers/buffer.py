"""Reading into one buffer for all connections.

For each read asyncio allocates a quarter of a megabyte and shrinks it to what has come, which
with glibc means three system calls; a 64-byte message costs a fifth more by that. Into the buffer
of an `asyncio.BufferedProtocol` it reads without.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

SIZE = 256 * 1024
"""Bytes, asyncio's own number."""


class _Buffers(threading.local):
    """The buffer of each thread, and so of each event loop that runs."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(SIZE))


_buffers = _Buffers()


class ReadingInto(asyncio.BufferedProtocol):
    """Stands between a transport of asyncio and its protocol, and owns the buffer of the reads.

    What is read is copied before anything else can read, so connections can share the buffer.
    """

    __slots__ = ("_protocol", "_view")

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._view = _buffers.view

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.data_received(bytes(self._view[:nbytes]))

    def eof_received(self) -> bool:
        return bool(self._protocol.eof_received())

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)


def connect(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
    """Let a transport call the methods of a protocol, from now on, in the cheapest way."""
    if isinstance(loop, asyncio.BaseEventLoop) and transport.can_write_eof():
        transport.set_protocol(ReadingInto(protocol))
    else:  # of uvloop, which has a buffer of its own, or TLS
        transport.set_protocol(protocol)
