"""Parsing in turns: what one read of a transport brings is no hold-up for others."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from asgi_keepalive.servers.reading import MAX_BYTES
from asgi_keepalive.servers.turns import (
    FIRST_SLICE,
    LARGEST_SLICE,
    PONG_SIZE,
    SMALLEST_SLICE,
    TURN,
    taking_turns,
)
from asgi_keepalive.servers.uvicorn import sansio, wsproto

from .support.client import BINARY, PING, TEXT, frame
from .support.fake_loop import fake_loop, in_no_time, ticks
from .test_closing import HANDSHAKE, connected


class FakeTransport:
    """Notes whether reading is held."""

    def __init__(self) -> None:
        self.closing = False
        self.held = False
        self.paused = False
        self.aborted = False

    def is_closing(self) -> bool:
        return self.closing

    def hold_reading(self) -> None:
        self.held = True

    def release_reading(self) -> None:
        self.held = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

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
    async def test_nothing_is_parsed_behind_what_closes_the_connection(self) -> None:
        one = protocol(1e-6)
        one.on_data = lambda: setattr(one.transport, "closing", True)
        one.data_received(DATA)
        await ticks(1000)
        assert one.sizes == [FIRST_SLICE]
        assert not one.is_between_turns

    @in_no_time
    async def test_what_was_read_is_parsed_though_others_close_the_connection(self) -> None:
        one = protocol(1e-6)
        one.data_received(DATA)
        assert one.is_between_turns
        one.transport.closing = True
        await ticks(1000)
        assert one.parsed == DATA

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


class TestTooMuchUnread:
    """One read may bring a thousand times its size, if it is compressed."""

    @in_no_time
    async def test_nothing_more_is_parsed(self) -> None:
        one = protocol(1e-9)
        one.on_data = one.pause_parsing
        one.data_received(DATA)
        await ticks(100)
        assert one.parsed == DATA[:FIRST_SLICE]
        assert one.transport.paused
        assert one.transport.held

    @in_no_time
    async def test_the_rest_is_parsed_once_it_is_not(self) -> None:
        one = protocol(1e-9)
        one.on_data = one.pause_parsing
        one.data_received(DATA)
        one.data_received(b"more")
        one.on_data = lambda: None
        one.resume_parsing()
        assert one.parsed == DATA[:FIRST_SLICE]  # for it is the application that calls this
        await ticks()
        assert one.parsed == DATA + b"more"
        assert not one.transport.held
        assert one.resumed == 1

    @in_no_time
    async def test_without_a_rest_only_reading_stops(self) -> None:
        one = protocol(1e-9)
        one.pause_parsing()
        assert one.transport.paused
        one.resume_parsing()
        assert not one.transport.paused
        await ticks()
        assert one.sizes == []


BOMBS = 60


def bomb() -> bytes:
    """Return a frame of a kilobyte that inflates to a message of a megabyte."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -12)
    data = deflate.compress(bytes(MAX_BYTES)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    plain = frame(BINARY, data.removesuffix(b"\0\0\xff\xff"))
    return bytes((plain[0] | 0x40,)) + plain[1:]  # RSV1 (RFC 7692 6)


async def accepted(cls: Any, app: Any) -> Any:
    """Return a protocol of uvicorn's that has accepted a client that compresses."""
    protocol, transport = connected(cls, app)
    offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n"
    protocol.data_received(HANDSHAKE[:-2] + offer)
    await ticks(20)
    assert b"permessage-deflate" in transport.written
    return protocol


@pytest.mark.parametrize("module", [sansio, wsproto])
class TestDeflateBombs:
    @in_no_time
    async def test_only_so_much_of_a_read_is_inflated(self, module: Any) -> None:
        app = Receiver()
        protocol = await accepted(module.KeepaliveProtocol, app)
        protocol.data_received(bomb() * BOMBS)
        await ticks(100)
        bound = FIRST_SLICE // len(bomb()) + 1
        assert len(protocol.queue._items) <= bound
        protocol.data_received(frame(TEXT, b"last"))
        app.goes_on.set()
        await ticks(1000)
        assert app.received == [MAX_BYTES] * BOMBS + [len("last")]
        protocol.connection_lost(None)
        await ticks(20)
        assert app.told == 1005

    @pytest.mark.parametrize("end", ["connection_lost", "shutdown"])
    @in_no_time
    async def test_nothing_that_was_read_is_lost_and_the_end_comes_last(
        self, module: Any, end: str
    ) -> None:
        app = Receiver()
        protocol = await accepted(module.KeepaliveProtocol, app)
        protocol.data_received(bomb() * BOMBS + frame(PING, b"ping"))
        if end == "shutdown":
            protocol.shutdown()
        else:
            protocol.connection_lost(ConnectionResetError())
        await ticks(100)
        app.goes_on.set()
        await ticks(1000)
        assert app.received == [MAX_BYTES] * BOMBS
        assert app.told == (1012 if end == "shutdown" else 1005)
        if end == "shutdown":
            protocol.connection_lost(None)


class Receiver:
    """An application that begins to receive when the test says."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.told = 0
        self.goes_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await self.goes_on.wait()
        while (event := await receive())["type"] == "websocket.receive":
            self.received.append(len(event.get("bytes") or event.get("text")))
        self.told = event["code"]
