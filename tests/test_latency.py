from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_keepalive import get_keepalive
from asgi_keepalive.latency import RoundTrips, Statistics

from .support.fake_loop import START, accepted, in_no_time

ROUND_TRIPS = st.lists(st.floats(0, 60), min_size=1)


def taken(*latencies: float) -> Statistics:
    round_trips = RoundTrips()
    for number, latency in enumerate(latencies):
        round_trips.add(latency, float(number))
    return round_trips.snapshot()


def test_nothing_is_known_at_first() -> None:
    assert taken() == Statistics(None, None, None, None, None, 0, 0, None)


def test_first_round_trip() -> None:
    """RFC 6298 2.2."""
    assert taken(0.5) == Statistics(
        latency=0.5,
        srtt=0.5,
        rttvar=0.25,
        minimum=0.5,
        maximum=0.5,
        count=1,
        pings=0,
        last_pong_at=0.0,
    )


@given(ROUND_TRIPS)
def test_smoothed_as_the_rfc_says(latencies: list[float]) -> None:
    """RFC 6298 2.2 and 2.3, as they are written there."""
    srtt, rttvar = latencies[0], latencies[0] / 2
    for r in latencies[1:]:
        rttvar = (1 - 1 / 4) * rttvar + 1 / 4 * abs(srtt - r)
        srtt = (1 - 1 / 8) * srtt + 1 / 8 * r
    seen = taken(*latencies)
    assert (seen.srtt, seen.rttvar) == pytest.approx((srtt, rttvar))


@given(ROUND_TRIPS)
def test_extremes(latencies: list[float]) -> None:
    seen = taken(*latencies)
    assert (seen.minimum, seen.maximum) == (min(latencies), max(latencies))
    assert (seen.latency, seen.count) == (latencies[-1], len(latencies))
    assert seen.last_pong_at == len(latencies) - 1


@given(st.lists(st.floats(0.1, 0.2), min_size=100, max_size=100))
def test_smoothed_stays_among_what_it_smooths(latencies: list[float]) -> None:
    seen = taken(*latencies)
    assert seen.srtt is not None
    assert min(latencies) <= seen.srtt <= max(latencies)
    assert abs(seen.srtt - statistics.fmean(latencies)) < 0.1


def test_a_snapshot_stays_as_it_is() -> None:
    round_trips = RoundTrips()
    round_trips.add(1.0, 0.0)
    before = round_trips.snapshot()
    round_trips.add(3.0, 1.0)
    assert before.latency == before.maximum == 1
    setting: Any = before
    with pytest.raises(dataclasses.FrozenInstanceError):
        setting.latency = 2


@in_no_time
async def test_of_a_connection() -> None:
    server, app = await accepted(ping_interval=None)
    keepalive = get_keepalive(app.scope)
    assert keepalive.statistics == Statistics(None, None, None, None, None, 0, 0, None)
    for latency in 0.25, 0.5:
        server.pong_after = latency
        await keepalive.ping()
    seen = keepalive.statistics
    assert seen.latency == keepalive.latency == 0.5
    assert (seen.minimum, seen.maximum, seen.count, seen.pings) == (0.25, 0.5, 2, 2)
    assert seen.srtt == 0.25 + 0.25 / 8
    assert seen.last_pong_at == START + server.pinged_at[-1] + 0.5


@in_no_time
async def test_a_ping_that_could_not_be_written_does_not_count() -> None:
    server, app = await accepted(ping_interval=10)
    server.disconnect(1006)
    with pytest.raises(ConnectionError):
        await app.keepalive.ping()
    assert app.keepalive.statistics.pings == 0
