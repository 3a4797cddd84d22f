"""The watch notices that its event loop stood still, and costs nothing when nobody needs it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
from typing import NamedTuple

import pytest

from asgi_keepalive.stall import INTERVAL, NOTICED, StallWatch, ordinary_lateness

from .support.fake_loop import fake_loop, in_no_time


def watching() -> StallWatch:
    """Return a watch over the running loop; somebody has a deadline."""
    watch = StallWatch(fake_loop(), contextvars.Context())
    watch.begin()
    return watch


def stall(watch: StallWatch) -> float:
    return watch.stall(time.monotonic())


@in_no_time
async def test_a_loop_that_runs_stood_still_for_no_time() -> None:
    watch = watching()
    for _ in range(100):
        await asyncio.sleep(0.013)
        assert stall(watch) == 0
    watch.end()


@pytest.mark.parametrize("since_last_look", [0.0, 0.01, 0.04])
@in_no_time
async def test_after_a_stall_recovery_is_as_long_as_that_took(since_last_look: float) -> None:
    watch = watching()
    await asyncio.sleep(10 * INTERVAL + since_last_look)
    fake_loop().stall(3)
    # What it cannot know is when, between two looks, the stall began.
    stood_still = pytest.approx(3 - (INTERVAL - since_last_look))
    assert stall(watch) == stood_still
    await asyncio.sleep(2.9)
    assert stall(watch) == stood_still
    await asyncio.sleep(0.1)
    assert stall(watch) == 0
    watch.end()


@in_no_time
async def test_a_stall_is_noticed_by_the_watch_itself() -> None:
    """Its end may be long past when a deadline wants to know."""
    watch = watching()
    fake_loop().stall(3)
    await asyncio.sleep(1)
    assert stall(watch) == pytest.approx(3 - INTERVAL)
    await asyncio.sleep(10)
    assert stall(watch) == 0
    watch.end()


@in_no_time
async def test_a_short_stall_does_not_cut_off_the_recovery_of_a_long_one() -> None:
    watch = watching()
    fake_loop().stall(3)
    await asyncio.sleep(1)
    fake_loop().stall(0.5)
    assert stall(watch) == pytest.approx(3 - INTERVAL)
    await asyncio.sleep(1)
    fake_loop().stall(2)
    await asyncio.sleep(1)
    assert stall(watch) == pytest.approx(2, abs=2 * INTERVAL)
    watch.end()


@pytest.mark.parametrize(("late", "noticed"), [(NOTICED / 2, False), (NOTICED * 2, True)])
@in_no_time
async def test_a_little_lateness_is_ordinary(late: float, noticed: bool) -> None:
    watch = watching()
    fake_loop().stall(INTERVAL + late)
    assert (stall(watch) > 0) == noticed
    watch.end()


class Clock(NamedTuple):
    """The part of what Python tells about a clock that matters here."""

    resolution: float


@pytest.mark.parametrize(
    ("platform", "resolution", "noticed"),
    [
        ("linux", 1e-9, 0.005),
        ("win32", 0.015625, 0.03125),
        ("win32", 1e-7, 0.03125),  # as Python 3.13 tells it; waits end on ticks all the same
        ("another", 0.01, 0.02),
    ],
)
def test_lateness_of_two_ticks_of_the_platform_is_ordinary(
    monkeypatch: pytest.MonkeyPatch, platform: str, resolution: float, noticed: float
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(time, "get_clock_info", lambda name: Clock(resolution))
    assert ordinary_lateness() == noticed


@in_no_time
async def test_it_looks_as_long_as_anybody_has_a_deadline() -> None:
    watch = watching()
    watch.begin()
    await asyncio.sleep(1)
    watch.end()
    assert len(fake_loop().timers()) == 1
    fake_loop().stall(3)
    await asyncio.sleep(1)
    assert stall(watch) > 0
    watch.end()
    assert fake_loop().timers() == []


@in_no_time
async def test_stall_while_nobody_looks_is_none() -> None:
    watch = watching()
    watch.end()
    fake_loop().stall(3)
    watch.begin()
    assert stall(watch) == 0
    watch.end()


@in_no_time
async def test_stall_before_the_last_look_is_noticed_at_the_end() -> None:
    """The last Pong comes behind it, and with that the looks end."""
    watch = watching()
    fake_loop().stall(3)
    watch.end()
    assert stall(watch) == pytest.approx(3 - INTERVAL)
    await asyncio.sleep(3)
    assert stall(watch) == 0


@in_no_time
async def test_own_timer_that_is_late_tells_of_a_stall_without_looks() -> None:
    watch = StallWatch(fake_loop(), contextvars.Context())
    due = time.monotonic() + 1
    fake_loop().stall(3)
    assert watch.stall(time.monotonic(), due) == pytest.approx(2)
