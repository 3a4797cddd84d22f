"""What remains of a connection that is closing: bytes to discard, and a descriptor to hold."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from itertools import pairwise

import pytest

from asgi_keepalive.endpoint import lingering
from asgi_keepalive.endpoint.kernel import unacknowledged
from asgi_keepalive.endpoint.lingering import (
    FIRST_LOOK,
    LONGEST_WAIT,
    Discard,
    close_once_acknowledged,
)

from ..support.fake_loop import START, elapsed, fake_loop, in_no_time
from ..support.tcp import Pair, drain, fill


class Told(asyncio.Protocol):
    """The transport and the protocol that `Discard` stands between."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.stays_open = True

    def received(self) -> None:
        self.told.append("received")

    def flushed(self) -> None:
        self.told.append("flushed")

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.stays_open

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(exc)


class TestDiscard:
    def test_tells_that_something_came_but_not_what(self) -> None:
        transport, protocol = Told(), Told()
        Discard(transport, protocol).data_received(b"data")
        assert (transport.told, protocol.told) == (["received"], [])

    @pytest.mark.parametrize("stays_open", [True, False])
    def test_lets_the_transport_answer_an_end_of_file(self, stays_open: bool) -> None:
        transport, protocol = Told(), Told()
        transport.stays_open = stays_open
        assert Discard(transport, protocol).eof_received() is stays_open
        assert (transport.told, protocol.told) == (["eof"], [])

    def test_ends_a_pause_that_began_before_but_tells_of_none_that_begins(self) -> None:
        transport, protocol = Told(), Told()
        discard = Discard(transport, protocol)
        discard.resume_writing()
        assert (transport.told, protocol.told) == (["flushed"], ["resume"])
        for _ in range(2):
            discard.pause_writing()
            discard.resume_writing()
        assert (transport.told, protocol.told) == (["flushed"] * 3, ["resume"])

    @pytest.mark.parametrize("error", [None, ConnectionResetError()])
    def test_tells_the_protocol_of_the_end(self, error: Exception | None) -> None:
        transport, protocol = Told(), Told()
        Discard(transport, protocol).connection_lost(error)
        assert (transport.told, protocol.told) == ([], [error])


class TestDescriptor:
    """Closed once the peer has acknowledged everything."""

    @in_no_time
    async def test_is_closed_at_once_if_it_has(self, pair: Pair) -> None:
        near, far = pair
        close_once_acknowledged(near, fake_loop(), START + 10)
        assert near.fileno() == -1
        assert far.recv(1) == b""

    @in_no_time
    async def test_is_held_until_it_has(self, pair: Pair) -> None:
        near, far = pair
        left = fill(near)
        close_once_acknowledged(near, fake_loop(), START + 10)
        await asyncio.sleep(5)
        assert near.fileno() != -1
        while unacknowledged(near):
            left -= len(far.recv(65536))
        await asyncio.sleep(LONGEST_WAIT)
        assert near.fileno() == -1
        drain(far)  # no RST

    @in_no_time
    async def test_is_reset_at_the_deadline_if_it_has_not(self, pair: Pair) -> None:
        near, far = pair
        fill(near)
        close_once_acknowledged(near, fake_loop(), START + 1.3)
        await asyncio.sleep(1.29)
        assert near.fileno() != -1
        await asyncio.sleep(0.02)
        assert near.fileno() == -1
        with pytest.raises(ConnectionResetError):
            drain(far)

    @in_no_time
    async def test_is_reset_if_the_deadline_is_over(self, pair: Pair) -> None:
        near, far = pair
        await asyncio.sleep(2)
        close_once_acknowledged(near, fake_loop(), START + 1)
        assert near.fileno() == -1
        with pytest.raises(ConnectionResetError):
            drain(far)

    @in_no_time
    async def test_is_looked_at_less_and_less_often(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[float] = []

        def look(sock: object) -> int:
            looks.append(elapsed())
            return 1

        monkeypatch.setattr(lingering, "unacknowledged", look)
        close_once_acknowledged(pair[0], fake_loop(), START + 5)
        await asyncio.sleep(6)
        waits = [round(later - earlier, 6) for earlier, later in pairwise(looks)]
        assert waits[:4] == [FIRST_LOOK * 2**number for number in range(4)]
        assert waits == sorted(waits)
        assert waits[-1] == LONGEST_WAIT

    @in_no_time
    async def test_keeps_no_context_of_the_application(self, pair: Pair) -> None:
        class Large:
            pass

        def close() -> weakref.ref[Large]:
            large = Large()
            contextvars.ContextVar[Large]("large").set(large)
            close_once_acknowledged(pair[0], fake_loop(), START + 1)
            return weakref.ref(large)

        fill(pair[0])
        reference = contextvars.copy_context().run(close)
        assert len(fake_loop().timers()) == 1
        gc.collect()
        assert reference() is None
        await asyncio.sleep(2)
