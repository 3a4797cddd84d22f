"""P6: nothing but the Pong to a Ping of ours shows that a peer lives."""

from __future__ import annotations

import asyncio
import random

import pytest

from ..support.connection import TIMES, until_failed
from ..support.fake_loop import accepted, elapsed, in_no_time
from ..support.timeouts import FAILED


class TestOnlyARealPong:
    @in_no_time
    async def test_payloads_are_random(self) -> None:
        server, _ = await accepted(**TIMES, pong_after=0)
        await asyncio.sleep(2010)
        payloads = set(server.pings)
        assert len(payloads) == 100
        assert {len(payload) for payload in payloads} == {4}

    @in_no_time
    async def test_payloads_tell_nothing_of_the_applications_random_numbers(self) -> None:
        """From 624 outputs of a Mersenne Twister all that follow can be computed."""
        _, app = await accepted(**TIMES, pong_after=0)
        before = random.getstate()
        await app.keepalive.ping()
        await asyncio.sleep(2010)
        assert random.getstate() == before

    @pytest.mark.parametrize("wrong", [b"", b"\0\0\0\0", b"never sent" * 10])
    @in_no_time
    async def test_wrong_pong_changes_nothing(self, wrong: bytes) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(25)
        server.pong(wrong)
        assert app.keepalive.latency is None
        assert await app.receive() == FAILED
        assert elapsed() == 30

    @in_no_time
    async def test_pong_of_an_earlier_ping_changes_nothing(self) -> None:
        server, app = await accepted(**TIMES, pong_after=1)
        await asyncio.sleep(35)
        server.pong_after = None
        await asyncio.sleep(10)
        server.pong(server.pings[0])
        assert app.keepalive.latency == 1
        assert await app.receive() == FAILED
        assert elapsed() == 50

    @in_no_time
    async def test_late_pong_changes_nothing(self) -> None:
        server, app = await accepted(**TIMES)
        await until_failed(server)
        server.pong(server.pings[0])
        assert app.keepalive.latency is None
        assert await app.receive() == FAILED
