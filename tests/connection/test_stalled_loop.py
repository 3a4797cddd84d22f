"""P5: the peer does not pay for an event loop that stands still."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ..support.connection import TIMES
from ..support.fake_loop import accepted, elapsed, fake_loop, in_no_time, ticks
from ..support.timeouts import FAILED


class TestStalledLoop:
    @in_no_time
    async def test_pong_behind_a_stall_counts(self) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        fake_loop().stall(5)
        fake_loop().call_later(4, server.pong, server.pings[0])
        await asyncio.sleep(5)
        assert not app.keepalive.timed_out
        assert app.keepalive.latency == 17

    @in_no_time
    async def test_stall_that_ends_just_before_the_deadline(self) -> None:
        """The timer is not late at all then."""
        server, app = await accepted(**TIMES)
        await asyncio.sleep(24)
        fake_loop().stall(5.99)
        fake_loop().call_later(4, server.pong, server.pings[0])
        await asyncio.sleep(5)
        assert not app.keepalive.timed_out

    @in_no_time
    async def test_pong_behind_a_short_stall_counts(self) -> None:
        """Some servers need several turns of the loop from the socket to the Pong."""
        server, app = await accepted(**TIMES)
        await asyncio.sleep(29.98)
        fake_loop().stall(0.03)
        await ticks(3)
        server.pong(server.pings[0])
        assert not app.keepalive.timed_out

    @in_no_time
    async def test_dead_peer_is_given_as_long_as_the_stall_lasted(self) -> None:
        _, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        fake_loop().stall(5)
        assert await app.receive() == FAILED
        assert elapsed() == pytest.approx(38, abs=0.06)

    @pytest.mark.parametrize(
        ("traffic", "at"),
        [
            ({"quiet": 13.0, "acknowledged": 1}, 38),  # for as long as the Pong was awaited
            ({"quiet": 13.03, "acknowledged": 1}, 33),  # so that it cannot be on its way
            ({"quiet": None, "acknowledged": 1}, 38),
            ({"quiet": 13.03}, 38),  # no kernel told it, so the Pong may be unread
            ({"quiet": 13.03, "acknowledged": 1, "unsent": 1}, 38),  # perhaps it has no Ping
        ],
    )
    @in_no_time
    async def test_one_that_has_sent_nothing_is_given_nothing(
        self, traffic: dict[str, Any], at: float
    ) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        server.traffic = traffic
        fake_loop().stall(5)
        assert await app.receive() == FAILED
        assert elapsed() == pytest.approx(at, abs=0.06)

    @in_no_time
    async def test_ping_that_may_have_left_behind_the_stall(self) -> None:
        """An event loop may write it only when it turns."""
        server, app = await accepted(**TIMES)
        await asyncio.sleep(20.01)
        server.traffic = {"quiet": 100.0, "acknowledged": 1}
        fake_loop().stall(11)
        fake_loop().call_later(1, server.pong, server.pings[0])
        await asyncio.sleep(5)
        assert not app.keepalive.timed_out

    @in_no_time
    async def test_but_no_longer_than_the_timeout(self) -> None:
        _, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        fake_loop().stall(500)
        assert await app.receive() == FAILED
        assert elapsed() == 538

    @in_no_time
    async def test_only_one_stall_is_excused(self) -> None:
        _, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        fake_loop().stall(5)
        await asyncio.sleep(1)
        fake_loop().stall(10)
        assert await app.receive() == FAILED
        assert elapsed() == 44
