"""P4: the server does not read, as the application is behind."""

from __future__ import annotations

import asyncio
import time

import pytest

from asgi_keepalive import KeepaliveTimeout

from ..support.connection import TIMES, outcome, paused
from ..support.fake_loop import FakeServer, accepted, elapsed, in_no_time
from ..support.timeouts import FAILED


async def paused_each(server: FakeServer, pauses: list[tuple[float, float]]) -> None:
    for pause in pauses:
        await paused(server, *pause)


class TestBusy:
    @in_no_time
    async def test_pong_that_is_read_late_counts(self) -> None:
        server, app = await accepted(**TIMES)
        await paused(server, 21, 39)
        await asyncio.sleep(0.5)
        server.pong(server.pings[0])
        await asyncio.sleep(1)
        assert not app.keepalive.timed_out
        assert app.keepalive.latency == 19.5
        assert server.pinged_at == [20, 40]

    @pytest.mark.parametrize(
        ("pauses", "failed_at"),
        [
            ([(5, 15)], 30),
            ([(5, 25)], 35),
            ([(21, 22), (24, 26)], 33),
            ([(29, 31), (31.5, 33)], 33.5),
            ([(21, 35)], 40),
            ([(21, 1000)], 40),
            ([(29.99, 30.01)], 30.02),
        ],
    )
    @in_no_time
    async def test_dead_peer_of_a_busy_application_is_failed_all_the_same(
        self, pauses: list[tuple[float, float]], failed_at: float
    ) -> None:
        server, app = await accepted(**TIMES)
        reading = asyncio.ensure_future(paused_each(server, pauses))
        assert await app.receive() == FAILED
        assert elapsed() == pytest.approx(failed_at)
        reading.cancel()

    @in_no_time
    async def test_both_members_of_a_broadcast_are_pinged_in_the_same_instant(self) -> None:
        """The frozen one blocks the handler of the other, which is read no more."""
        (frozen, to_frozen), (healthy, of_healthy) = [await accepted(**TIMES) for _ in range(2)]
        frozen.writable.clear()
        await asyncio.sleep(20.3)
        healthy.on_read_paused(True, time.monotonic())
        with pytest.raises(KeepaliveTimeout):
            await to_frozen.text("x")
        assert elapsed() == 30
        healthy.on_read_paused(False, time.monotonic())
        await asyncio.sleep(0.1)
        healthy.pong(healthy.pings[0])
        await asyncio.sleep(5)
        assert not of_healthy.keepalive.timed_out

    @in_no_time
    async def test_manual_ping_expires_later(self) -> None:
        server, app = await accepted(ping_interval=None, ping_timeout=10)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await paused(server, 1, 4)
        assert str(await ping) == "no Pong for 13 s"
