"""The kinds of receivers: for each transport the one that costs the least."""

from __future__ import annotations

import asyncio
import threading
import time

from ..extension import Traffic
from . import kernel
from .adapter import ReadingAdapter
from .receiver import Receiver, Told

BUFFER_SIZE = 256 * 1024
"""Bytes, asyncio's own number."""


class _Buffers(threading.local):
    """The buffer of each thread, and so of each event loop that runs."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(BUFFER_SIZE))


_buffers = _Buffers()


class BufferedReceiver(Receiver, asyncio.BufferedProtocol):
    """A receiver that owns the buffer of the reads.

    For each read asyncio allocates a quarter of a megabyte and shrinks it to what has come, which
    with glibc means three system calls; a 64-byte message costs a fifth more by that. What is read
    is copied before anything else can read, so connections can share the buffer.
    """

    __slots__ = ()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffers.view

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_buffers.view[:nbytes]))


class CountingReceiver(Receiver):
    """A receiver that counts what comes, where the kernel does not tell."""

    __slots__ = ("_heard_at", "_received")

    def __init__(self, adapter: ReadingAdapter, endpoint: Told) -> None:
        super().__init__(adapter, endpoint)
        self._heard_at = time.monotonic()
        self._received = 0

    def traffic(self) -> Traffic:
        return {"quiet": time.monotonic() - self._heard_at, "received": self._received}

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        self._received += len(data)
        super().data_received(data)


class CountingBufferedReceiver(CountingReceiver, BufferedReceiver):
    """Both."""

    __slots__ = ()


def receive(adapter: ReadingAdapter, transport: asyncio.Transport, endpoint: Told) -> Receiver:
    """Let a transport call a new receiver, from now on, in the cheapest way."""
    # uvloop has a buffer of its own, and so has TLS.
    is_plain = isinstance(adapter.loop, asyncio.BaseEventLoop) and transport.can_write_eof()
    if kernel.tells(transport.get_extra_info("socket")):
        kind = BufferedReceiver if is_plain else Receiver
    else:
        kind = CountingBufferedReceiver if is_plain else CountingReceiver
    receiver = kind(adapter, endpoint)
    transport.set_protocol(receiver)
    return receiver
