"""What a process has seen in its last ten minutes."""

from __future__ import annotations

import asyncio

from asgi_keepalive.observers.live import LiveConnections
from asgi_keepalive.observers.metrics import BUCKETS
from asgi_keepalive.observers.timeline import SLOT, SLOTS, Timeline
from asgi_keepalive.verdict import REFUSED, judge

from ..support.fake_loop import in_no_time
from ..support.observers import added


@in_no_time
async def test_events_by_time() -> None:
    live = LiveConnections()
    connection = added(live, 1, 0.001, 0.0011, 20, 20.1)
    await asyncio.sleep(SLOT)
    connection.pinged()
    await asyncio.sleep(2 * SLOT)
    connection.ponged(0.3)
    await asyncio.sleep(SLOT)
    connection.failed(REFUSED)
    added(live, 2).failed(judge({}, waited=1, timeout=1, paused=0, stalled=0))
    first, second, third, fourth = live.timeline.slots
    assert [slot.start - first.start for slot in live.timeline.slots] == [0, 10, 30, 40]
    assert [slot.pings for slot in live.timeline.slots] == [4, 1, 0, 0]
    assert first.latencies == [1, 1, *[0] * 11, 1, 1]
    assert len(first.latencies) == len(BUCKETS) + 1
    assert sum(second.latencies) == 0
    assert third.latencies[BUCKETS.index(0.5)] == sum(third.latencies) == 1
    assert fourth.failed == {"refused": 1, "silent": 1}


@in_no_time
async def test_what_is_older_is_forgotten() -> None:
    timeline = Timeline()
    for _ in range(2 * SLOTS):
        timeline.pinged()
        await asyncio.sleep(SLOT)
    assert len(timeline._slots) == SLOTS
    await asyncio.sleep(SLOT * SLOTS / 2)
    assert len(timeline.slots) in (SLOTS // 2 - 1, SLOTS // 2)
    await asyncio.sleep(SLOT * SLOTS)
    assert timeline.slots == []


@in_no_time
async def test_pings_a_second() -> None:
    timeline = Timeline()
    assert timeline.pings_per_second == 0
    for _ in range(100):
        timeline.pinged()
        await asyncio.sleep(0.1)
    assert round(timeline.pings_per_second, 6) == 10
    for _ in range(500):
        timeline.pinged()
        await asyncio.sleep(0.1)
        assert 9 <= timeline.pings_per_second <= 11
    await asyncio.sleep(2 * SLOT)
    assert timeline.pings_per_second == 0
