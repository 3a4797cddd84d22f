"""P14: connections share wake-ups, which costs no deadline its exactness."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from ..support.fake_loop import accepted, elapsed, fake_loop, in_no_time

LATER = (0.002, 0.006, 0.011)
"""In seconds, within the same slot."""


@in_no_time
async def test_pings_of_a_slot_go_out_together() -> None:
    servers = []
    for later in LATER:
        await asyncio.sleep(later - elapsed())
        servers.append((await accepted(pong_after=1))[0])
    await asyncio.sleep(50)
    assert [server.pinged_at for server in servers] == [
        pytest.approx([20 + LATER[0], 40 + LATER[0]], abs=1e-6) for _ in LATER
    ]


@in_no_time
async def test_deadlines_of_a_slot_are_exact() -> None:
    servers = [(await accepted(ping_timeout=10 + later))[0] for later in LATER]
    await asyncio.sleep(30 + LATER[-1] + 0.001)
    for server, later in zip(servers, LATER, strict=True):
        assert server.failed_at == pytest.approx(30 + later, abs=1e-6)
    assert fake_loop().timers() == []


@pytest.mark.parametrize("interval", [0.05, 0.39])
@in_no_time
async def test_short_intervals_are_exact(interval: float) -> None:
    servers = []
    for later in LATER:
        await asyncio.sleep(later - elapsed())
        servers.append((await accepted(ping_interval=interval, pong_after=0.001))[0])
    await asyncio.sleep(1)
    for server, later in zip(servers, LATER, strict=True):
        assert server.pinged_at[:2] == pytest.approx([later + interval, later + 2 * interval])


@in_no_time
async def test_looks_end_with_the_last_pong() -> None:
    """Of manual Pings, too."""
    _, app = await accepted(ping_interval=None, ping_timeout=10, pong_after=1)
    assert fake_loop().timers() == []
    pings = [asyncio.ensure_future(app.keepalive.ping()) for _ in range(2)]
    await asyncio.sleep(0.9)
    assert len(fake_loop().timers()) == 2 + 1 + 1  # Pongs, the deadline and the look
    await asyncio.gather(*pings)
    assert len(fake_loop().timers()) == 1  # that of the deadline, which nobody has any more
    await asyncio.sleep(10)
    assert fake_loop().timers() == []


@in_no_time
async def test_nobody_looks_where_nothing_times_out() -> None:
    await accepted(ping_timeout=None)
    await asyncio.sleep(50)
    assert len(fake_loop().timers()) == 1


@pytest.mark.parametrize("limit", ["ping_interval", "ping_timeout"])
@in_no_time
async def test_longest_time_there_is(limit: str) -> None:
    """It has a slot, too."""
    settings: dict[str, Any] = {limit: sys.float_info.max}
    server, app = await accepted(pong_after=1, **settings)
    await asyncio.sleep(50)
    assert len(server.pings) == (0 if limit == "ping_interval" else 2)
    app.returns()
    await server.task
