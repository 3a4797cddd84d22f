"""The watch notices that its event loop stood still, and costs nothing when nobody needs it."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import weakref
from typing import NamedTuple

import pytest

from asgi_keepalive.timer import INTERVAL, NOTICED, StallWatch, ordinary_lateness

from .support.fake_loop import FakeLoop, fake_loop, in_no_time


def stall(watch: StallWatch) -> float:
    return watch.stall(time.monotonic())


@in_no_time
async def test_a_loop_that_runs_stood_still_for_no_time() -> None:
    watch = StallWatch.join(fake_loop())
    for _ in range(100):
        await asyncio.sleep(0.013)
        assert stall(watch) == 0
    watch.leave()


@pytest.mark.parametrize("since_last_look", [0.0, 0.01, 0.04])
@in_no_time
async def test_after_a_stall_recovery_is_as_long_as_that_took(since_last_look: float) -> None:
    watch = StallWatch.join(fake_loop())
    await asyncio.sleep(10 * INTERVAL + since_last_look)
    fake_loop().stall(3)
    # What it cannot know is when, between two looks, the stall began.
    stood_still = pytest.approx(3 - (INTERVAL - since_last_look))
    assert stall(watch) == stood_still
    await asyncio.sleep(2.9)
    assert stall(watch) == stood_still
    await asyncio.sleep(0.1)
    assert stall(watch) == 0
    watch.leave()


@in_no_time
async def test_a_stall_is_noticed_by_the_watch_itself() -> None:
    """Its end may be long past when a deadline wants to know."""
    watch = StallWatch.join(fake_loop())
    fake_loop().stall(3)
    await asyncio.sleep(1)
    assert stall(watch) == pytest.approx(3 - INTERVAL)
    await asyncio.sleep(10)
    assert stall(watch) == 0
    watch.leave()


@in_no_time
async def test_a_short_stall_does_not_cut_off_the_recovery_of_a_long_one() -> None:
    watch = StallWatch.join(fake_loop())
    fake_loop().stall(3)
    await asyncio.sleep(1)
    fake_loop().stall(0.5)
    assert stall(watch) == pytest.approx(3 - INTERVAL)
    await asyncio.sleep(1)
    fake_loop().stall(2)
    await asyncio.sleep(1)
    assert stall(watch) == pytest.approx(2, abs=2 * INTERVAL)
    watch.leave()


@pytest.mark.parametrize(("late", "noticed"), [(NOTICED / 2, False), (NOTICED * 2, True)])
@in_no_time
async def test_a_little_lateness_is_ordinary(late: float, noticed: bool) -> None:
    watch = StallWatch.join(fake_loop())
    fake_loop().stall(INTERVAL + late)
    assert (stall(watch) > 0) == noticed
    watch.leave()


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
async def test_connections_share_the_watch_of_their_loop() -> None:
    watches = [StallWatch.join(fake_loop()) for _ in range(3)]
    assert len(set(watches)) == 1
    assert len(fake_loop().timers()) == 1
    for watch in watches:
        watch.leave()


@in_no_time
async def test_it_watches_until_the_last_connection_leaves() -> None:
    first, second = StallWatch.join(fake_loop()), StallWatch.join(fake_loop())
    await asyncio.sleep(1)
    first.leave()
    fake_loop().stall(3)
    await asyncio.sleep(1)
    assert stall(second) > 0
    second.leave()
    assert fake_loop().timers() == []


@in_no_time
async def test_after_the_last_connection_a_new_watch_begins() -> None:
    old = StallWatch.join(fake_loop())
    old.leave()
    fake_loop().stall(3)
    new = StallWatch.join(fake_loop())
    assert stall(new) == 0
    new.leave()
    assert fake_loop().timers() == []


def test_each_loop_has_its_own() -> None:
    loops = FakeLoop(), FakeLoop()
    watches = [StallWatch.join(loop) for loop in loops]
    assert watches[0] is not watches[1]
    watches[0].leave()
    assert [len(loop.timers()) for loop in loops] == [0, 1]
    watches[1].leave()
    for loop in loops:
        loop.close()


def test_no_reference_to_the_loop_remains() -> None:
    loop = FakeLoop()
    StallWatch.join(loop).leave()
    loop.close()
    reference = weakref.ref(loop)
    del loop
    gc.collect()
    assert reference() is None
