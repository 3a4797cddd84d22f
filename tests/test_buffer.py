"""The one buffer into which all connections of a thread are read."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from asgi_keepalive.servers.buffer import SIZE, ReadingInto


class Protocol(asyncio.Protocol):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.calls: list[Any] = []

    def data_received(self, data: bytes) -> None:
        self.received.append(data)

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return True

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(exc)


def read(reading: ReadingInto, data: bytes) -> None:
    """Do what a transport does that has received something."""
    reading.get_buffer(-1)[: len(data)] = data
    reading.buffer_updated(len(data))


def test_what_was_read_stays_as_it_was_while_others_read() -> None:
    protocols = Protocol(), Protocol()
    first, second = map(ReadingInto, protocols)
    read(first, b"0123456789")
    read(second, b"abc")
    read(first, b"4")
    assert [protocol.received for protocol in protocols] == [[b"0123456789", b"4"], [b"abc"]]
    assert first.get_buffer(-1).obj is second.get_buffer(-1).obj


def test_a_full_buffer_is_handed_on_whole() -> None:
    protocol = Protocol()
    data = bytes(range(256)) * (SIZE // 256)
    read(ReadingInto(protocol), data)
    assert protocol.received == [data]


def test_threads_do_not_share_a_buffer() -> None:
    """A read gives up the interpreter's lock while the kernel copies."""
    views = []

    def look() -> None:
        views.append(ReadingInto(Protocol()).get_buffer(-1))

    for _ in range(2):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert views[0].obj is not views[1].obj


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_everything_else_goes_to_the_protocol(error: Exception | None) -> None:
    protocol = Protocol()
    reading = ReadingInto(protocol)
    reading.pause_writing()
    reading.resume_writing()
    assert reading.eof_received() is True
    reading.connection_lost(error)
    assert protocol.calls == ["pause", "resume", "eof", error]
