"""What puts a deadline off, if `liveness` is "progress"."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_keepalive.extension import Traffic
from asgi_keepalive.heartbeat import Expire, Heartbeat, Overdue, Ping
from asgi_keepalive.progress import LEAST_PACE, LITTLE, PutOff
from asgi_keepalive.settings import Settings
from asgi_keepalive.verdict import Verdict

from ..support.heartbeat import START, UP_TO_DATE, manual_ping, opened, sent

PACE = 10 * LEAST_PACE
"""So many bytes in a timeout are progress."""


def told(
    acknowledged: int = 0,
    unacknowledged: int = 0,
    received: int = 0,
    quiet: float = 100.0,
    unsent: int = 0,
) -> Traffic:
    return {
        "unsent": unsent,
        "quiet": quiet,
        "acknowledged": acknowledged,
        "unacknowledged": unacknowledged,
        "received": received,
    }


def pinged(traffic: Traffic | None = None, **settings: Any) -> tuple[Heartbeat, Ping]:
    """Return a heartbeat whose Ping was written at 20 and is overdue at 30."""
    times = {"ping_interval": 20, "ping_timeout": 10, "liveness": "progress", **settings}
    heartbeat = opened(**times)
    ping = sent(heartbeat.tick(START + 20, b"ping", UP_TO_DATE))
    heartbeat.written(ping, START + 20, traffic)
    return heartbeat, ping


def judged(heartbeat: Heartbeat, ping: Ping, at: float, traffic: Traffic) -> float | Verdict:
    """Return until when a Ping is put off that is overdue at `at`, or the verdict."""
    assert heartbeat.tick(START + at, b"", UP_TO_DATE) == [Overdue(ping)]
    found = heartbeat.judge(ping, traffic, START + at)
    if isinstance(found, PutOff):
        assert heartbeat.wake_at == found.until
        assert heartbeat.tick(found.until - 0.001, b"", UP_TO_DATE) == []
        return found.until - START
    assert not heartbeat.is_open
    return found


class TestSending:
    """Something is in front of the Ping: 1,000,000 bytes with itself."""

    BEFORE = told(acknowledged=5_000, unacknowledged=1_000_000)

    @pytest.mark.parametrize(
        ("acknowledged", "until"),
        [
            (0, None),
            (PACE - 1, None),
            (PACE, 40),
            (999_999, 40),
            (1_000_000, 40),  # it has come just now
            (2_000_000, 35),  # it came in the middle
            (4_000_000, 32.5),
        ],
    )
    def test_first_deadline(self, acknowledged: int, until: float | None) -> None:
        heartbeat, ping = pinged(self.BEFORE)
        found = judged(heartbeat, ping, 30, told(5_000 + acknowledged, 3_000_000))
        if until is None:
            assert isinstance(found, Verdict)
            assert (found.acknowledged, found.received) == (acknowledged, 0)
        else:
            assert found == until

    def test_as_long_as_it_goes_on(self) -> None:
        heartbeat, ping = pinged(self.BEFORE)
        for count in range(1, 20):
            at = 20 + 10 * count
            assert judged(heartbeat, ping, at, told(5_000 + count * 50_000, 1)) == at + 10
        verdict = judged(heartbeat, ping, 220, told(5_000 + 19 * 50_000, 1))
        assert isinstance(verdict, Verdict)
        assert (verdict.waited, verdict.acknowledged) == (200, 950_000)

    def test_what_is_acknowledged_after_it_has_come_proves_nothing(self) -> None:
        heartbeat, ping = pinged(self.BEFORE)
        assert judged(heartbeat, ping, 30, told(2_005_000, 1)) == 35
        assert isinstance(judged(heartbeat, ping, 35, told(9_000_000, 1)), Verdict)

    def test_what_had_come_before_the_last_look(self) -> None:
        heartbeat, ping = pinged(told(acknowledged=5_000, unacknowledged=0))
        assert isinstance(judged(heartbeat, ping, 30, told(9_000_000, 1)), Verdict)

    def test_it_came_before_a_look_that_is_late(self) -> None:
        """So its Pong has had its time."""
        heartbeat, ping = pinged(told(acknowledged=0, unacknowledged=10))
        assert isinstance(judged(heartbeat, ping, 31, told(1_000_000)), Verdict)

    @pytest.mark.parametrize("liveness", ["pong", "progress"])
    def test_only_if_asked_for(self, liveness: str) -> None:
        heartbeat, ping = pinged(self.BEFORE, liveness=liveness)
        assert heartbeat.counts(ping) == (liveness == "progress")
        found = judged(heartbeat, ping, 30, told(500_000, 1))
        assert isinstance(found, Verdict) == (liveness == "pong")

    def test_from_now_on(self) -> None:
        heartbeat, ping = pinged(liveness="pong")
        heartbeat.configure(Settings(20, 10, liveness="progress"))
        assert judged(heartbeat, ping, 30, told(quiet=1)) == 40

    @pytest.mark.parametrize(
        ("left", "until"), [(1_000_000, None), (900_000, 40), (None, 40), (0, 40)]
    )
    def test_what_has_left_the_server_counts_where_it_cannot_tell(
        self, left: int | None, until: float | None
    ) -> None:
        heartbeat, ping = pinged({"unsent": 1_000_000})
        found = judged(heartbeat, ping, 30, {"unsent": left})
        assert found == until or isinstance(found, Verdict)
        if until:
            found = judged(heartbeat, ping, 40, {"unsent": left})
        assert isinstance(found, Verdict)
        assert (found.acknowledged, found.received) == (None, None)


class TestNothingWasInFront:
    """So nothing was counted when the Ping was written."""

    @pytest.mark.parametrize(
        ("traffic", "until"),
        [
            (told(unacknowledged=PACE), 40),
            (told(unacknowledged=PACE - 1), None),
            ({"unsent": PACE}, 40),
            (told(quiet=9.9), 40 - 0.0),
            (told(quiet=9.99), None),  # clocks are coarse
            ({"quiet": 9.9}, 40),
            ({"received": 100}, None),
            ({}, None),
        ],
    )
    def test_first_deadline(self, traffic: Traffic, until: float | None) -> None:
        heartbeat, ping = pinged()
        found = judged(heartbeat, ping, 30, traffic)
        assert found == until or (until is None and isinstance(found, Verdict))

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (told(0, PACE, unsent=LITTLE + 1), told(PACE, 1_000_000)),
            (told(0, PACE), told(PACE // 2, PACE)),
            ({"quiet": 1}, {"quiet": 1}),
            (told(quiet=1, received=100), told(quiet=1, received=99 + PACE)),
        ],
    )
    def test_only_once(self, first: Traffic, second: Traffic) -> None:
        heartbeat, ping = pinged()
        assert judged(heartbeat, ping, 30, first) == 40
        assert isinstance(judged(heartbeat, ping, 40, second), Verdict)

    def test_what_is_on_its_way_may_all_be_in_front_of_it(self) -> None:
        heartbeat, ping = pinged()
        assert judged(heartbeat, ping, 30, told(7, 3 * PACE, unsent=LITTLE)) == 40
        assert judged(heartbeat, ping, 40, told(7 + PACE, 2 * PACE)) == 50
        # All of it has come there since, and with it the Ping, which may have come long before.
        assert isinstance(judged(heartbeat, ping, 50, told(7 + 5 * PACE, PACE)), Verdict)


class TestReceiving:
    def test_as_long_as_it_goes_on(self) -> None:
        heartbeat, ping = pinged(told(received=1_000, unacknowledged=9))
        for count in range(1, 20):
            at = 20 + 10 * count
            assert judged(heartbeat, ping, at, told(received=1_000 + count * PACE)) == at + 10
        verdict = judged(heartbeat, ping, 220, told(received=1_000 + 20 * PACE - 1, quiet=1))
        assert isinstance(verdict, Verdict)
        assert (verdict.reason, verdict.received) == ("unanswered", 20 * PACE - 1)

    def test_after_less_than_a_timeout_less_is_enough(self) -> None:
        heartbeat, ping = pinged(told(unacknowledged=100))
        assert judged(heartbeat, ping, 30, told(acknowledged=400)) == 32.5
        quarter = PACE // 4
        assert judged(heartbeat, ping, 32.5, told(acknowledged=400, received=quarter)) == 42.5
        more = told(acknowledged=400, received=2 * quarter)
        assert isinstance(judged(heartbeat, ping, 42.5, more), Verdict)

    def test_the_later_of_both(self) -> None:
        before = told(unacknowledged=100)
        heartbeat, ping = pinged(before)
        assert judged(heartbeat, ping, 30, told(acknowledged=400, received=PACE)) == 40
        heartbeat, ping = pinged(before)
        assert judged(heartbeat, ping, 30, told(acknowledged=400)) == 32.5


class TestWithTheOtherRules:
    def test_application_that_is_behind(self) -> None:
        heartbeat, ping = pinged(told(unacknowledged=9))
        heartbeat.read_paused(True, START + 25)
        assert heartbeat.tick(START + 30, b"", UP_TO_DATE) == []
        found = judged(heartbeat, ping, 40, told(received=9_000_000, quiet=1))
        assert isinstance(found, Verdict)
        assert found.reason == "application behind"

    def test_what_they_allow_for_is_allowed_for_anew(self) -> None:
        heartbeat, ping = pinged(told(unacknowledged=9))
        assert heartbeat.tick(START + 30, b"", 2) == []
        heartbeat.read_paused(True, START + 31)
        heartbeat.read_paused(False, START + 39)
        assert judged(heartbeat, ping, 40, told(received=PACE)) == 50
        heartbeat.read_paused(True, START + 41)
        heartbeat.read_paused(False, START + 49)
        assert ping.deadline == START + 58
        assert heartbeat.tick(START + 58, b"", 2) == []
        verdict = judged(heartbeat, ping, 60, told(received=PACE, quiet=38))
        assert isinstance(verdict, Verdict)
        assert (verdict.behind, verdict.stalled) == (8, 2)

    def test_manual_pings_expire_all_the_same(self) -> None:
        heartbeat, ping = pinged(told(unacknowledged=9))
        manual = manual_ping(heartbeat, b"manual", START + 19)
        assert not heartbeat.counts(manual)
        assert heartbeat.tick(START + 30, b"", UP_TO_DATE) == [Overdue(ping)]
        assert isinstance(heartbeat.judge(ping, told(received=PACE), START + 30), PutOff)
        assert heartbeat.wake_at == START + 29
        assert heartbeat.tick(START + 30, b"", UP_TO_DATE) == [Expire(manual)]
        assert heartbeat.wake_at == START + 40

    def test_a_pong_comes_at_last(self) -> None:
        heartbeat, ping = pinged(told(unacknowledged=9))
        assert judged(heartbeat, ping, 30, told(received=PACE)) == 40
        assert heartbeat.pong(b"ping", START + 36) == [ping]
        assert heartbeat.round_trips.latency == 16
        assert heartbeat.wake_at == START + 40
