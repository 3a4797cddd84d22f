"""Reading in turns: what one read of a transport brings is no hold-up for others."""

from __future__ import annotations

import asyncio

import pytest

from asgi_keepalive.endpoint.receiver import LOOK, TURN

from ..faults.differential.frames import CONTINUATION, close, raw
from ..support.client import PING, PONG, TEXT
from ..support.fake_loop import fake_loop, in_no_time, ticks
from ..support.receiver import Reception

COUNT = 1000
PONGS = raw(PONG, b"pong") * COUNT

STEP = TURN / 100
"""Seconds that each of them takes, if it is slow."""


def slow() -> Reception:
    """Return a connection on which each Pong takes that time."""
    one = Reception()
    one.endpoint.on_pong = lambda: fake_loop().stall(STEP)
    return one


def pongs(one: Reception) -> int:
    return one.told.count(("pong", b"pong"))


@in_no_time
async def test_what_is_quick_is_read_at_once() -> None:
    one = Reception()
    one.receive(PONGS)
    assert pongs(one) == COUNT
    assert one.transport.calls == []


@in_no_time
async def test_what_is_slow_is_read_in_turns() -> None:
    one = slow()
    began = fake_loop().now
    one.receive(PONGS)
    longest = fake_loop().now - began
    assert 1 < pongs(one) < COUNT / 5
    while not one.is_reading:
        began = fake_loop().now
        await asyncio.sleep(0)
        longest = max(longest, fake_loop().now - began)
    assert pongs(one) == COUNT
    assert TURN < longest < TURN + 2.5 * LOOK * STEP
    assert one.transport.names() == ["pause_reading", "resume_reading"]


@in_no_time
async def test_others_have_their_turn_between() -> None:
    one, other = slow(), slow()
    one.receive(PONGS)
    other.receive(PONGS)
    while pongs(one) < COUNT:
        await asyncio.sleep(0)
        assert abs(pongs(one) - pongs(other)) < COUNT / 5
    await ticks()
    assert pongs(other) == COUNT


@in_no_time
async def test_frames_that_say_nothing_take_their_time() -> None:
    """A message may never end."""
    one = Reception()
    one.endpoint.on_pong = lambda: fake_loop().stall(2 * TURN)
    fragments = raw(CONTINUATION, fin=False) * 2 * LOOK
    one.receive(raw(TEXT, fin=False) + fragments[: len(fragments) // 2])
    one.receive(fragments + raw(PONG, b"pong") + fragments + raw(PONG, b"pong"))
    assert pongs(one) == 1
    await ticks()
    assert pongs(one) == 2


@in_no_time
async def test_what_comes_meanwhile_waits() -> None:
    """A TLS transport may have more when it is paused."""
    one = slow()
    one.receive(PONGS)
    before = pongs(one)
    one.receive(raw(TEXT, b"more"))
    assert pongs(one) == before
    assert one.unread() == 0
    assert await one.next() == "more"
    assert pongs(one) == COUNT


@in_no_time
async def test_after_a_turn_the_next_read_is_read_at_once() -> None:
    one = slow()
    one.receive(PONGS)
    await ticks(100)
    assert one.is_reading
    one.receive(raw(TEXT, b"text"))
    assert one.unread() == 1


@pytest.mark.parametrize("last", [close(1000), raw(3)], ids=["close", "error"])
@in_no_time
async def test_a_last_frame_ends_the_turns(last: bytes) -> None:
    one = slow()
    one.receive(PONGS + raw(TEXT, b"text") + last + PONGS)
    await ticks(100)
    assert pongs(one) == COUNT
    assert one.transport.names() == ["pause_reading", "resume_reading"]
    assert await one.until_end() == ["text", 1006 if last == raw(3) else 1000]


@in_no_time
async def test_one_that_is_closing_is_neither_paused_nor_resumed() -> None:
    """What its peer still sends is discarded, by another."""
    one = slow()
    one.transport.closing = True
    one.receive(PONGS)
    await ticks(100)
    assert pongs(one) == COUNT
    assert one.transport.calls == []


class TestEnds:
    """Nothing that has come is lost, and the end comes last."""

    @pytest.mark.parametrize("end", ["eof", "lost"])
    @in_no_time
    async def test_between_two_turns(self, end: str) -> None:
        one = slow()
        one.receive(PONGS + raw(TEXT, b"text"))
        if end == "eof":
            one.receiver.eof_received()
        else:
            one.transport.closing = True
            one.receiver.connection_lost(None)
        assert await one.until_end() == ["text", 1006]
        assert pongs(one) == COUNT

    @pytest.mark.parametrize("end", ["eof", "lost"])
    @in_no_time
    async def test_while_too_much_is_unread(self, end: str) -> None:
        one = Reception()
        texts = [str(number) for number in range(20)]
        one.receive(b"".join(raw(TEXT, text.encode()) for text in texts))
        assert one.unread() == 4
        if end == "eof":
            one.receiver.eof_received()
        else:
            one.transport.closing = True
            one.receiver.connection_lost(ConnectionResetError())
        assert await one.until_end() == [*texts, 1006]


class TestExceptions:
    """What the extension's callbacks raise is no concern of the reader's, nor lost."""

    @in_no_time
    async def test_in_the_first_turn_goes_to_the_transport(self) -> None:
        one = Reception()
        error = RuntimeError("a fault of the application")

        def fail() -> None:
            raise error

        one.endpoint.on_pong = fail
        with pytest.raises(RuntimeError) as caught:
            one.receive(PONGS)
        assert caught.value is error

    @in_no_time
    async def test_in_a_later_turn_aborts_as_the_transport_would(self) -> None:
        one = slow()
        one.receive(PONGS)
        error = RuntimeError("a fault of the application")

        def fail() -> None:
            raise error

        one.endpoint.on_pong = fail
        before = pongs(one)
        await ticks(100)
        assert one.transport.names() == ["pause_reading", "abort"]
        [context] = fake_loop().errors
        assert context["exception"] is error
        fake_loop().errors.clear()
        assert pongs(one) == before + 1

    @in_no_time
    async def test_the_application_is_told_of_the_end_all_the_same(self) -> None:
        one = slow()
        one.receive(PONGS)
        one.endpoint.on_pong = lambda: 1 / 0
        await ticks()
        one.transport.closing = True
        one.receiver.connection_lost(None)
        assert await one.next() == 1006
        fake_loop().errors.clear()

    @in_no_time
    async def test_nothing_is_read_after_it(self) -> None:
        one = slow()
        one.receive(PONGS + raw(PING))
        one.endpoint.on_pong = lambda: 1 / 0
        await ticks(100)
        one.endpoint.on_pong = lambda: None
        one.receive(PONGS)
        await ticks(100)
        assert one.transport.written == b""
        fake_loop().errors.clear()
