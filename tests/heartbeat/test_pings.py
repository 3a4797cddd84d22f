"""When the heartbeat sends a Ping, and when it sends none."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from asgi_keepalive.heartbeat import EARLY, Heartbeat, Overdue
from asgi_keepalive.settings import Settings

from ..support.heartbeat import (
    START,
    UP_TO_DATE,
    keepalive_ping,
    manual_ping,
    opened,
    ping_at,
    sent,
)


class TestWhenToPing:
    """Rule 1."""

    def test_first_ping_is_due_an_interval_after_opening(self) -> None:
        heartbeat = opened(ping_interval=20)
        assert heartbeat.wake_at == START + 20
        assert heartbeat.tick(START + 19.97, b"ping", UP_TO_DATE) == []
        ping = ping_at(heartbeat, START + 20)
        assert (ping.payload, ping.manual, ping.postponed) == (b"ping", False, 0)

    @pytest.mark.parametrize(("interval", "early"), [(20, EARLY), (0.4, 0.02), (0.1, 0.005)])
    def test_a_ping_may_go_out_a_little_early(self, interval: float, early: float) -> None:
        """Some go out together, and some event loops count in whole milliseconds."""
        heartbeat = opened(ping_interval=interval)
        assert heartbeat.tick(START + interval - early - 1e-6, b"ping", UP_TO_DATE) == []
        assert heartbeat.tick(START + interval - early + 1e-6, b"ping", UP_TO_DATE) != []

    def test_a_ping_that_is_moved_goes_out_then(self) -> None:
        heartbeat = opened(ping_interval=20)
        heartbeat.next_ping_at = START + 13
        assert heartbeat.wake_at == START + 13
        heartbeat.written(ping_at(heartbeat, START + 13), START + 13)
        assert heartbeat.next_ping_at == START + 33

    def test_next_ping_is_due_an_interval_after_the_last_was_written(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        heartbeat.written(ping, START + 21)
        assert heartbeat.wake_at == START + 31
        heartbeat.pong(b"ping", START + 25)
        assert heartbeat.wake_at == START + 41

    def test_next_ping_waits_for_the_pong(self) -> None:
        heartbeat = opened(ping_interval=1, ping_timeout=10)
        keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 10, b"next", UP_TO_DATE) == []
        heartbeat.pong(b"ping", START + 10)
        assert heartbeat.wake_at == START + 2
        assert ping_at(heartbeat, START + 10, b"next").payload == b"next"

    def test_without_timeout_one_goes_out_per_interval(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=None)
        for number in range(1, 100):
            assert heartbeat.wake_at == START + number * 20
            keepalive_ping(heartbeat)

    def test_a_late_tick_sends_one_ping_only(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=None)
        ping_at(heartbeat, START + 1000)
        assert heartbeat.wake_at == START + 1020

    def test_without_interval_none_goes_out(self) -> None:
        heartbeat = opened(ping_interval=None)
        assert heartbeat.wake_at == inf
        assert heartbeat.tick(START + 1e9, b"ping", UP_TO_DATE) == []

    def test_after_a_refused_ping_the_next_is_due_an_interval_later(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = sent(heartbeat.tick(START + 20, b"ping", UP_TO_DATE))
        heartbeat.refused(ping, START + 21)
        assert heartbeat.wake_at == START + 41
        assert heartbeat.pong(b"ping", START + 22) == []
        assert ping_at(heartbeat, START + 41, b"next").payload == b"next"
        assert heartbeat.round_trips.pings == 1

    def test_refused_manual_pings_do_not_shift_the_others(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        manual = heartbeat.ping(b"manual", START + 5)
        heartbeat.refused(manual, START + 5)
        assert heartbeat.pong(b"manual", START + 6) == []
        assert heartbeat.wake_at == START + 20

    def test_manual_pings_do_not_shift_the_others(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=20)
        manual_ping(heartbeat, b"manual", START + 5)
        heartbeat.pong(b"manual", START + 6)
        assert heartbeat.wake_at == START + 20


class TestBeginningAndEnd:
    def test_nothing_is_due_before_opening(self) -> None:
        heartbeat = Heartbeat(Settings())
        assert heartbeat.wake_at == inf
        assert heartbeat.tick(START + 1e9, b"", UP_TO_DATE) == []
        assert heartbeat.pong(b"unsolicited", START) == []

    def test_nothing_is_due_after_closing(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        keepalive_ping(heartbeat)
        manual_ping(heartbeat, b"manual", START + 20)
        heartbeat.close()
        assert not heartbeat.is_open
        assert heartbeat.wake_at == inf
        assert heartbeat.tick(START + 1e9, b"", UP_TO_DATE) == []
        assert heartbeat.pong(b"ping", START + 21) == []
        assert heartbeat.round_trips.latency is None


class TestOtherSettings:
    def test_a_ping_in_flight_keeps_its_deadline(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        keepalive_ping(heartbeat)
        heartbeat.configure(Settings(ping_interval=1, ping_timeout=1))
        assert heartbeat.wake_at == START + 30
        heartbeat.pong(b"ping", START + 21)
        assert heartbeat.wake_at == START + 21
        assert keepalive_ping(heartbeat).deadline == START + 22

    @pytest.mark.parametrize("turned_off", ["ping_interval", "ping_timeout"])
    def test_turning_the_heartbeat_off_cancels_the_deadline(self, turned_off: str) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        off: dict[str, Any] = {turned_off: None}
        heartbeat.configure(Settings(**off))
        assert ping.deadline == inf
        commands = heartbeat.tick(START + 1000, b"next", UP_TO_DATE)
        assert not any(isinstance(command, Overdue) for command in commands)
        assert bool(commands) == (turned_off == "ping_timeout")
        # Its Pong still tells the latency.
        assert heartbeat.pong(b"ping", START + 1001) == [ping]

    def test_a_manual_ping_keeps_its_deadline_all_the_same(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        manual = manual_ping(heartbeat, b"manual", START)
        heartbeat.configure(Settings(ping_interval=None, ping_timeout=None))
        assert heartbeat.wake_at == manual.deadline == START + 10

    def test_new_interval_counts_from_the_last_ping(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=None)
        keepalive_ping(heartbeat)
        heartbeat.configure(Settings(ping_interval=5, ping_timeout=None))
        assert heartbeat.wake_at == START + 25
