"""When the peer is dead, and what puts that off."""

from __future__ import annotations

from math import inf

import pytest

from asgi_keepalive.heartbeat import Expire, Overdue, SendPing
from asgi_keepalive.settings import Settings
from asgi_keepalive.verdict import Verdict

from ..support.heartbeat import (
    START,
    UP_TO_DATE,
    keepalive_ping,
    manual_ping,
    opened,
    ping_at,
    sent,
)


class TestWhenThePeerIsDead:
    """Rule 3."""

    def test_never_earlier_than_the_timeout_after_the_writing(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        heartbeat.written(ping, START + 20.5)
        assert heartbeat.wake_at == START + 30.5
        assert heartbeat.tick(START + 30.4999, b"", UP_TO_DATE) == []
        assert heartbeat.tick(START + 30.5, b"", UP_TO_DATE) == [Overdue(ping)]

    def test_failure_is_the_end(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        manual = manual_ping(heartbeat, b"manual", START + 20)
        # Nothing besides it: there is no sense in telling that another Ping has expired.
        assert heartbeat.tick(START + 100, b"", UP_TO_DATE) == [Overdue(ping)]
        assert isinstance(heartbeat.judge(ping, {}, START + 100), Verdict)
        assert not heartbeat.is_open
        assert heartbeat.wake_at == inf
        assert heartbeat.tick(START + 200, b"", UP_TO_DATE) == []
        assert heartbeat.pong(ping.payload, START + 200) == []
        assert heartbeat.pong(manual.payload, START + 200) == []
        assert heartbeat.round_trips.latency is None

    def test_a_manual_ping_only_expires(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        manual = manual_ping(heartbeat, b"manual", START + 1)
        assert heartbeat.wake_at == START + 11
        assert heartbeat.tick(START + 11, b"", UP_TO_DATE) == [Expire(manual)]
        assert heartbeat.is_open
        assert heartbeat.wake_at == START + 20
        assert heartbeat.pong(b"manual", START + 12) == []

    def test_several_things_may_be_due_at_once(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        first, second = manual_ping(heartbeat, b"1", START), manual_ping(heartbeat, b"2", START + 1)
        expired_first, expired_second, command = heartbeat.tick(START + 50, b"3", UP_TO_DATE)
        assert [expired_first, expired_second] == [Expire(first), Expire(second)]
        assert isinstance(command, SendPing)

    def test_without_timeout_nothing_is_ever_dead(self) -> None:
        heartbeat = opened(ping_interval=None, ping_timeout=None)
        manual_ping(heartbeat, b"manual", START)
        assert heartbeat.wake_at == inf
        assert heartbeat.tick(START + 1e9, b"", UP_TO_DATE) == []


class TestStalledLoop:
    """Rule 4."""

    def test_deadline_is_postponed_by_as_long_as_the_loop_stood_still(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 33, b"", 3) == []
        assert ping.postponed
        assert heartbeat.wake_at == ping.deadline == START + 36
        assert heartbeat.tick(START + 36, b"", UP_TO_DATE) == [Overdue(ping)]

    def test_a_loop_that_has_caught_up_excuses_nothing(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 33, b"", UP_TO_DATE) == [Overdue(ping)]
        assert not ping.postponed

    def test_by_no_more_than_the_timeout(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 100, b"", 70) == []
        assert heartbeat.wake_at == START + 110

    def test_only_once(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 33, b"", 3) == []
        assert heartbeat.tick(START + 50, b"", 10) == [Overdue(ping)]

    def test_deadlines_do_not_gather_at_one_instant(self) -> None:
        """Thousands that come at once would make the loop stand still again."""
        deadlines = []
        for number in range(3):
            heartbeat = opened(ping_interval=20, ping_timeout=10)
            ping = keepalive_ping(heartbeat)
            heartbeat.tick(START + 30 + number, b"", 5)
            deadlines.append(ping.deadline)
        assert deadlines == [START + 35, START + 36, START + 37]

    def test_a_deadline_that_has_not_passed_is_not_postponed(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 29, b"", 11) == []
        assert not ping.postponed
        assert heartbeat.wake_at == START + 30

    def test_a_manual_ping_is_postponed_too(self) -> None:
        heartbeat = opened(ping_interval=None, ping_timeout=10)
        manual = manual_ping(heartbeat, b"manual", START)
        assert heartbeat.tick(START + 12, b"", 2) == []
        assert heartbeat.pong(b"manual", START + 13) == [manual]

    def test_pong_after_the_stall_saves_the_connection(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        keepalive_ping(heartbeat)
        heartbeat.tick(START + 33, b"", 3)
        heartbeat.pong(b"ping", START + 34)
        assert heartbeat.is_open
        assert heartbeat.wake_at == START + 40


class TestApplicationThatIsBehind:
    """Rule 5."""

    @pytest.mark.parametrize(
        ("pauses", "overdue_at"),
        [
            ([], 30),
            ([(22, 25)], 33),
            ([(15, 25)], 35),  # it began before the Ping
            ([(15, 20)], 30),  # all of it was before
            ([(22, 23), (24, 26), (29, 30.5)], 34.5),
            ([(29.75, 31)], 31.25),
            ([(29, 31), (31.5, 33)], 33.5),
            ([(21, 30)], 39),
            ([(21, 31)], 40),
            ([(21, 31), (32, 33)], 40),  # no more than one timeout
            ([(21, 39)], 40),
            ([(29, inf)], 40),
            ([(22, 23), (29, inf)], 40),
            ([(0, inf)], 40),
        ],
    )
    def test_time_in_which_we_did_not_read_does_not_count(
        self, pauses: list[tuple[float, float]], overdue_at: float
    ) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        events = [event for begin, end in pauses for event in ((begin, True), (end, False))]
        ping, commands = None, []
        for at, paused in [*events, (inf, True)]:
            while heartbeat.is_open and START + at >= heartbeat.wake_at:
                woken_at = heartbeat.wake_at
                commands = heartbeat.tick(woken_at, b"ping", UP_TO_DATE)
                if commands and isinstance(commands[0], SendPing):
                    ping = sent(commands)
                    heartbeat.written(ping, woken_at)
                elif commands:
                    heartbeat.close()
            heartbeat.read_paused(paused, START + at)
        assert ping is not None
        assert commands == [Overdue(ping)]
        assert woken_at == START + overdue_at

    def test_how_long_it_was_in_all(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        heartbeat.read_paused(True, START + 19)
        ping = ping_at(heartbeat, START + 20)
        assert heartbeat.paused(ping, START + 22) == 2
        heartbeat.read_paused(False, START + 23)
        heartbeat.read_paused(True, START + 25)
        heartbeat.read_paused(True, START + 26)  # which a server should not tell
        assert heartbeat.paused(ping, START + 28) == 3 + 3
        heartbeat.read_paused(False, START + 29)
        heartbeat.read_paused(False, START + 35)
        assert heartbeat.paused(ping, START + 100) == 3 + 4

    def test_a_peer_that_is_read_again_has_the_time_that_was_left(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = ping_at(heartbeat, START + 20)
        heartbeat.read_paused(True, START + 24)
        assert heartbeat.tick(START + 30, b"", UP_TO_DATE) == []
        assert heartbeat.wake_at == START + 40
        heartbeat.read_paused(False, START + 31)
        assert heartbeat.wake_at == START + 37
        heartbeat.pong(b"ping", START + 36)
        assert heartbeat.wake_at == START + 40
        assert ping.deadline == START + 37

    def test_while_reading_is_paused_one_wake_up_is_enough(self) -> None:
        """A deadline that recedes must not be run after."""
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping_at(heartbeat, START + 20)
        heartbeat.read_paused(True, START + 29.999)
        assert heartbeat.tick(START + 30, b"", UP_TO_DATE) == []
        assert heartbeat.wake_at == START + 40

    def test_a_manual_ping_is_postponed_too(self) -> None:
        heartbeat = opened(ping_interval=None, ping_timeout=10)
        manual = manual_ping(heartbeat, b"manual", START)
        heartbeat.read_paused(True, START + 1)
        assert heartbeat.tick(START + 10, b"", UP_TO_DATE) == []
        heartbeat.read_paused(False, START + 13)
        assert heartbeat.tick(START + 20, b"", UP_TO_DATE) == [Expire(manual)]

    @pytest.mark.parametrize("resumed", [False, True])
    def test_a_stall_comes_on_top_once(self, resumed: bool) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = ping_at(heartbeat, START + 20)
        heartbeat.read_paused(True, START + 25)
        assert heartbeat.tick(START + 45, b"", 4) == []
        assert (heartbeat.wake_at, ping.postponed) == (START + 49, 4)
        if resumed:
            heartbeat.read_paused(False, START + 47)
        assert heartbeat.tick(START + 48, b"", 4) == []
        assert heartbeat.tick(START + 49, b"", 4) == [Overdue(ping)]

    def test_a_pause_after_a_stall_counts_too(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = ping_at(heartbeat, START + 20)
        assert heartbeat.tick(START + 31, b"", 4) == []
        heartbeat.read_paused(True, START + 32)
        heartbeat.read_paused(False, START + 35)
        assert heartbeat.tick(START + 35, b"", 4) == []
        assert heartbeat.wake_at == START + 38
        assert heartbeat.tick(START + 38, b"", 4) == [Overdue(ping)]

    def test_a_deadline_that_was_turned_off_does_not_come_back(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = ping_at(heartbeat, START + 20)
        manual = manual_ping(heartbeat, b"manual", START + 20)
        heartbeat.read_paused(True, START + 21)
        heartbeat.configure(Settings(ping_interval=None))
        heartbeat.give_up(manual)
        heartbeat.read_paused(False, START + 22)
        assert heartbeat.wake_at == ping.deadline == manual.deadline == inf

    def test_a_coarse_clock_never_brings_a_deadline_forward(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        heartbeat.read_paused(True, START + 19.5)
        ping = ping_at(heartbeat, START + 20.0005)
        heartbeat.read_paused(False, START + 20)
        assert ping.deadline == START + 30.0005
        heartbeat.read_paused(True, START + 30.001)
        heartbeat.read_paused(False, START + 30)
        assert ping.deadline == START + 30.0005
