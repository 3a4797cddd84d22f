"""Parsing in turns: what one read of a transport brings is no hold-up for others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asgi_keepalive.servers.turns import (
    FIRST_SLICE,
    LARGEST_SLICE,
    PONG_SIZE,
    SMALLEST_SLICE,
    TURN,
    taking_turns,
)

from .fake_loop import fake_loop, in_no_time, ticks


class FakeTransport:
    """Notes whether reading is held."""

    def __init__(self) -> None:
        self.closing = False
        self.held = False
        self.aborted = False

    def is_closing(self) -> bool:
        return self.closing

    def hold_reading(self) -> None:
        self.held = True

    def release_reading(self) -> None:
        self.held = False

    def abort(self) -> None:
        self.aborted = True


class Base:
    """Parses nothing, in as much time as the test says."""

    def __init__(self, seconds_per_byte: float) -> None:
        self.loop = fake_loop()
        self.transport = FakeTransport()
        self.sizes: list[int] = []
        self.parsed = b""
        self.resumed = 0
        self.on_data: Callable[[], object] = lambda: None
        self._seconds_per_byte = seconds_per_byte

    def data_received(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        self.sizes.append(len(data))
        self.parsed += data
        self.loop.stall(len(data) * self._seconds_per_byte)
        self.on_data()

    def take_pong(self, data: bytes) -> bool:
        return data.startswith(PONG)

    def go_on_reading(self) -> None:
        assert not self.transport.held
        self.resumed += 1


def protocol(seconds_per_byte: float) -> Any:
    return taking_turns(Base)(seconds_per_byte)


DATA = bytes(range(256)) * 1024


PONG = b"Pong"


class TestTurns:
    @in_no_time
    async def test_pong_that_comes_alone_is_not_parsed(self) -> None:
        one = protocol(1e-6)
        for alone in PONG + bytes(PONG_SIZE - len(PONG)), bytes(PONG_SIZE), PONG:
            one.data_received(alone)
        assert one.sizes == [PONG_SIZE, len(PONG)]
        one.data_received(DATA)  # which takes several turns
        one.data_received(PONG + bytes(PONG_SIZE - len(PONG)))
        await ticks(1000)
        assert one.parsed.endswith(PONG + bytes(PONG_SIZE - len(PONG)))

    @in_no_time
    async def test_what_is_quick_is_parsed_at_once_in_large_slices(self) -> None:
        one = protocol(1e-9)
        one.data_received(DATA)
        assert one.parsed == DATA
        assert max(one.sizes) == LARGEST_SLICE
        assert one.resumed == 0

    @in_no_time
    async def test_what_is_slow_is_parsed_in_turns(self) -> None:
        one = protocol(1e-6)
        one.data_received(DATA)
        assert one.sizes == [FIRST_SLICE]
        assert one.transport.held
        longest = 0.0
        while one.transport.held:
            began = fake_loop().now
            await asyncio.sleep(0)
            longest = max(longest, fake_loop().now - began)
        assert one.parsed == DATA
        assert longest < TURN + 2 * SMALLEST_SLICE * 1e-6
        assert one.resumed == 1

    @in_no_time
    async def test_slices_shrink_and_grow_again(self) -> None:
        one = protocol(1e-9)
        one.data_received(DATA)
        one._seconds_per_byte = 1e-6
        one.sizes.clear()
        one.data_received(DATA)
        await ticks(1000)
        assert one.sizes[:2] == [LARGEST_SLICE, SMALLEST_SLICE]
        one._seconds_per_byte = 1e-9
        one.sizes.clear()
        one.data_received(DATA)
        assert one.sizes[:3] == [SMALLEST_SLICE, 2 * SMALLEST_SLICE, 4 * SMALLEST_SLICE]
        assert max(one.sizes) == LARGEST_SLICE

    @in_no_time
    async def test_what_comes_meanwhile_waits(self) -> None:
        """A TLS transport may have more when it is paused."""
        one = protocol(1e-6)
        one.data_received(DATA)
        one.data_received(b"more")
        await ticks(1000)
        assert one.parsed == DATA + b"more"

    @in_no_time
    async def test_nothing_is_parsed_once_the_connection_is_closing(self) -> None:
        one = protocol(1e-6)
        one.on_data = lambda: setattr(one.transport, "closing", True)
        one.data_received(DATA)
        await ticks(1000)
        assert one.sizes == [FIRST_SLICE]

    @in_no_time
    async def test_exception_in_a_later_turn_is_as_in_the_first(self) -> None:
        one = protocol(1e-6)
        one.data_received(DATA)
        assert one.transport.held
        turns = len(one.sizes)
        error = RuntimeError("a fault of the server")

        def fail() -> None:
            raise error

        one.on_data = fail
        await ticks(10)
        assert one.transport.aborted
        [context] = fake_loop().errors
        assert context["exception"] is error
        assert context["protocol"] is one
        fake_loop().errors.clear()
        assert len(one.sizes) == turns + 1
