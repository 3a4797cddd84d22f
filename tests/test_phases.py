"""P14: a crowd does not move in step, and a few connections are left alone."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_keepalive.crowd import _crowds
from asgi_keepalive.phases import CROWD, EARLIEST, LATEST, NEAR, PARTS, WIDTH, Phases
from asgi_keepalive.timer import Timer

from .support.fake_loop import START, accepted, elapsed, fake_loop, in_no_time

CYCLE = 30e-6
"""Seconds that a Ping takes here."""

WINDOW = 0.05
"""Seconds that no more than twice the mean of Pings may fall into."""


class Pinged:
    """As much of a connection as has to do with the times of its Pings."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.timer = Timer()
        self.at = [elapsed()]
        self.timer.start(self._ping)
        self._set_timer()

    def _ping(self) -> None:
        self.timer.fired(time.monotonic())
        fake_loop().stall(CYCLE)
        self.at.append(elapsed())
        self._set_timer()

    def _set_timer(self) -> None:
        self.timer.set(self.timer.plan(time.monotonic() + self.interval, self.interval), inf)


async def connected(count: int, seconds: float, interval: float) -> list[Pinged]:
    """Return connections that are opened in so many seconds."""
    opened = []
    began = elapsed()
    for number in range(count):
        await asyncio.sleep(began + number * seconds / count - elapsed())
        opened.append(Pinged(interval))
    return opened


def busiest(crowd: list[Pinged], begin: float, interval: float) -> float:
    """Return what the busiest `WINDOW` of the interval that begins there has, over the mean."""
    times = sorted(at for one in crowd for at in one.at if begin <= at < begin + interval)
    first = most = 0
    for last, at in enumerate(times):
        while times[first] < at - WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most / (len(crowd) * WINDOW / interval)


def mean_interval(crowd: list[Pinged]) -> float:
    spans = [(one.at[-1] - one.at[0]) / (len(one.at) - 1) for one in crowd]
    return sum(spans) / len(spans)


def stop(crowd: list[Pinged]) -> None:
    """End them; nothing may remain."""
    phases = crowd[0].timer.crowd.phases  # type: ignore[union-attr]
    for one in crowd:
        one.timer.stop()
    assert (phases._planned, phases._connections) == ({}, 0)
    assert phases._mean == pytest.approx(0, abs=1e-9)
    assert fake_loop().timers() == []
    assert not _crowds


CROWDS = [(9000, 5, 20), (9000, 5, 1), (2000, 1, 2), (500, 0.5, 5)]


@pytest.mark.parametrize(("count", "seconds", "interval"), CROWDS)
@in_no_time
async def test_after_a_mass_connect(count: int, seconds: float, interval: float) -> None:
    crowd = await connected(count, seconds, interval)
    connected_at = elapsed()
    await asyncio.sleep(4 * interval)
    for number in 1, 2:
        assert busiest(crowd, connected_at + number * interval, interval) <= 2
    assert mean_interval(crowd) == pytest.approx(interval, rel=0.05)
    stop(crowd)


@pytest.mark.parametrize(
    ("count", "interval", "stall"), [(9000, 20, 8), (9000, 1, 0.5), (2000, 2, 2)]
)
@in_no_time
async def test_after_a_stall(count: int, interval: float, stall: float) -> None:
    """What is held up is pinged all at once, and then never again."""
    crowd = await connected(count, interval, interval)
    await asyncio.sleep(1.5 * interval)
    fake_loop().stall(stall)
    stalled_at = elapsed()
    await asyncio.sleep(0.5 * interval)
    assert busiest(crowd, stalled_at, interval) > 2
    for one in crowd:
        del one.at[:-1]
    await asyncio.sleep(3.5 * interval)
    for number in 1, 2:
        assert busiest(crowd, stalled_at + number * interval, interval) <= 2
    assert mean_interval(crowd) == pytest.approx(interval, rel=0.05)
    stop(crowd)


@pytest.mark.parametrize(("count", "at_once"), [(1000, 24), (9000, 60)])
@in_no_time
async def test_so_many_are_pinged_at_once(count: int, at_once: int) -> None:
    """What is pinged together times out together."""
    crowd = await connected(count, 1, 1)
    await asyncio.sleep(5)
    wake_ups = Counter(int(at / WIDTH * PARTS) for one in crowd for at in one.at if at >= 4)
    assert 0.75 * at_once <= max(wake_ups.values()) <= at_once
    stop(crowd)


@in_no_time
async def test_each_interval_is_within_its_bounds() -> None:
    crowd = await connected(1000, 0.1, 10)
    await asyncio.sleep(50)
    for one in crowd:
        for before, after in itertools.pairwise(one.at):
            assert EARLIEST * 10 - WIDTH <= after - before <= LATEST * 10 + WIDTH
    stop(crowd)


@pytest.mark.parametrize("count", [1, 5, CROWD - 1])
@in_no_time
async def test_a_few_wait_for_the_whole_interval(count: int) -> None:
    crowd = await connected(count, 0, 20)
    await asyncio.sleep(70)
    assert {len(one.at) for one in crowd} == {4}
    assert all(one.at == pytest.approx([0, 20, 40, 60], abs=count * 5 * CYCLE) for one in crowd)
    stop(crowd)


@in_no_time
async def test_short_intervals_are_spread_and_not_cut() -> None:
    interval = NEAR / 2
    crowd = await connected(400, 0.01, interval)
    await asyncio.sleep(10 * interval)
    assert busiest(crowd, 8 * interval, interval) <= 2
    last = [one.at[-1] - one.at[-2] for one in crowd]
    assert sum(last) / len(last) == pytest.approx(interval, rel=0.05)
    stop(crowd)


@in_no_time
async def test_connections_of_a_server_are_spread() -> None:
    """Their settings may change, and turn the Pings off and on again."""
    servers = [await accepted(pong_after=0.1, ping_interval=20) for _ in range(100)]
    crowd = servers[0][1].receive.__self__._connection.timer.crowd
    await asyncio.sleep(90)
    [*_, latest] = zip(*(server.pinged_at[:4] for server, _ in servers), strict=True)
    assert len({round(at / WIDTH) for at in latest}) > 90
    for _, app in servers[:50]:
        app.keepalive.configure(ping_interval=None)
    assert crowd.phases._connections == 50
    for _, app in servers:
        app.keepalive.configure(ping_interval=10)
    assert crowd.phases._connections == sum(crowd.phases._planned.values()) == 100
    assert crowd.phases._mean == pytest.approx(100 * WIDTH / 10)
    for server, app in servers:
        app.returns()
        await server.task
    assert crowd.phases._planned == {}


def test_random_numbers_of_the_application_are_its_own() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    phases = Phases()
    for _ in range(2 * CROWD):
        phases.join(1)
        phases.plan(START, 1)
    assert random.random() == expected


INTERVALS = st.sampled_from([None, 0.05, NEAR, 1.0, 20.0])


@settings(deadline=None)
@given(events=st.lists(st.tuples(st.integers(0, 20), INTERVALS, st.floats(0, 30)), max_size=200))
def test_counts_stay_right(events: list[tuple[int, float | None, float]]) -> None:
    @in_no_time
    async def play() -> None:
        timers = [Timer() for _ in range(21)]
        for timer in timers:
            timer.start(lambda: None)
        crowd: Any = timers[0].crowd
        for number, interval, after in events:
            at = inf if interval is None else time.monotonic() + after
            timers[number].plan(at, interval)
            pinged = [timer for timer in timers if timer.ping_at < inf]
            assert sum(crowd.phases._planned.values()) == crowd.phases._connections == len(pinged)
        for timer in timers:
            timer.stop()
            timer.stop()  # of no effect
        assert (crowd.phases._planned, crowd.phases._connections) == ({}, 0)

    play()
