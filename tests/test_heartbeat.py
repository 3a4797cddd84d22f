"""The heartbeat's rules, one by one, and then against arbitrary events."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asgi_keepalive.heartbeat import (
    EARLY,
    REMEMBERED,
    Command,
    Expire,
    Fail,
    Heartbeat,
    Ping,
    SendPing,
)
from asgi_keepalive.settings import Settings

START = 1000.0
UP_TO_DATE = 0.0
"""For `grace`: the event loop has not stood still."""


def opened(**settings: Any) -> Heartbeat:
    heartbeat = Heartbeat(Settings(**settings))
    heartbeat.open(START)
    return heartbeat


def sent(commands: list[Command]) -> Ping:
    """Return the Ping that is the one command."""
    [command] = commands
    assert isinstance(command, SendPing)
    return command.ping


def keepalive_ping(heartbeat: Heartbeat, payload: bytes = b"ping") -> Ping:
    """Let the next keepalive Ping be sent, when it is due."""
    return ping_at(heartbeat, heartbeat.wake_at, payload)


def ping_at(heartbeat: Heartbeat, now: float, payload: bytes = b"ping") -> Ping:
    """Let a keepalive Ping be sent that is due by now."""
    ping = sent(heartbeat.tick(now, payload, UP_TO_DATE))
    heartbeat.written(ping, now)
    return ping


def manual_ping(heartbeat: Heartbeat, payload: bytes, now: float) -> Ping:
    """Let a manual Ping be sent."""
    ping = heartbeat.ping(payload, now)
    heartbeat.written(ping, now)
    return ping


class TestWhenToPing:
    """Rule 1."""

    def test_first_ping_is_due_an_interval_after_opening(self) -> None:
        heartbeat = opened(ping_interval=20)
        assert heartbeat.wake_at == START + 20
        assert heartbeat.tick(START + 19.99, b"ping", UP_TO_DATE) == []
        ping = ping_at(heartbeat, START + 20)
        assert (ping.payload, ping.manual, ping.put_off) == (b"ping", False, 0)

    def test_a_ping_may_go_out_a_little_early(self) -> None:
        """uvloop counts in whole milliseconds, and may fire a timer before its time."""
        assert opened(ping_interval=20).tick(START + 20 - EARLY, b"ping", UP_TO_DATE) != []

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


class TestWhichPongCounts:
    """Rule 2."""

    def test_latency_is_the_round_trip_from_the_writing(self) -> None:
        heartbeat = opened()
        assert heartbeat.round_trips.latency is None
        ping = keepalive_ping(heartbeat)
        heartbeat.written(ping, START + 20.5)
        assert heartbeat.pong(b"ping", START + 20.75) == [ping]
        assert heartbeat.round_trips.latency == 0.25

    @pytest.mark.parametrize("wrong", [b"", b"pin", b"ping\0", b"\0\0\0\0"])
    def test_unknown_payload_changes_nothing(self, wrong: bytes) -> None:
        heartbeat = opened(ping_timeout=10)
        keepalive_ping(heartbeat)
        before = heartbeat.wake_at
        assert heartbeat.pong(wrong, START + 21) == []
        assert (heartbeat.round_trips.latency, heartbeat.wake_at) == (None, before)

    def test_a_pong_counts_once(self) -> None:
        heartbeat = opened()
        keepalive_ping(heartbeat)
        assert heartbeat.pong(b"ping", START + 21) != []
        assert heartbeat.pong(b"ping", START + 22) == []
        assert heartbeat.round_trips.latency == 1

    def test_a_later_pong_acknowledges_the_earlier_pings(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        first = manual_ping(heartbeat, b"1", START + 19)
        second = keepalive_ping(heartbeat, b"2")
        third = manual_ping(heartbeat, b"3", START + 21)
        fourth = manual_ping(heartbeat, b"4", START + 22)
        assert heartbeat.pong(b"3", START + 23) == [first, second, third]
        assert heartbeat.round_trips.latency == 2
        # The keepalive's own was among them, so that the next one is due.
        assert heartbeat.wake_at == fourth.deadline == START + 32
        assert heartbeat.pong(b"2", START + 24) == []
        assert heartbeat.pong(b"4", START + 24) == [fourth]
        assert heartbeat.wake_at == START + 40

    def test_an_earlier_pong_leaves_the_later_ping_waiting(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        manual_ping(heartbeat, b"manual", START + 19)
        ping = keepalive_ping(heartbeat)
        heartbeat.pong(b"manual", START + 21)
        assert heartbeat.tick(START + 30, b"", UP_TO_DATE) == [Fail(ping)]

    def test_unanswered_pings_are_remembered_up_to_a_bound(self) -> None:
        heartbeat = opened(ping_interval=1, ping_timeout=None)
        manual = manual_ping(heartbeat, b"manual", START)
        pings = [keepalive_ping(heartbeat, bytes([number])) for number in range(100)]
        assert heartbeat.pong(bytes([83]), START + 200) == []
        # The application waits for the manual one: that is not forgotten.
        assert heartbeat.pong(bytes([99]), START + 200) == [manual, *pings[-16:]]

    def test_a_clock_that_runs_backwards_gives_no_negative_latency(self) -> None:
        """A server's clock may be coarser than ours: uvloop's counts in whole milliseconds."""
        heartbeat = opened()
        keepalive_ping(heartbeat)
        heartbeat.pong(b"ping", START + 19.9995)
        assert heartbeat.round_trips.latency == 0


class TestWhenThePeerIsDead:
    """Rule 3."""

    def test_never_earlier_than_the_timeout_after_the_writing(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        heartbeat.written(ping, START + 20.5)
        assert heartbeat.wake_at == START + 30.5
        assert heartbeat.tick(START + 30.4999, b"", UP_TO_DATE) == []
        assert heartbeat.tick(START + 30.5, b"", UP_TO_DATE) == [Fail(ping)]

    def test_failure_is_the_end(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        manual = manual_ping(heartbeat, b"manual", START + 20)
        # Nothing besides it: there is no sense in telling that another Ping has expired.
        assert heartbeat.tick(START + 100, b"", UP_TO_DATE) == [Fail(ping)]
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


class TestGivenUp:
    """A manual Ping that nobody waits for any more."""

    def test_it_neither_expires_nor_fails_the_connection(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        heartbeat.give_up(manual_ping(heartbeat, b"manual", START))
        assert heartbeat.wake_at == START + 20
        assert heartbeat.tick(START + 19, b"", UP_TO_DATE) == []

    def test_its_pong_still_counts(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        awaited = keepalive_ping(heartbeat)
        manual = manual_ping(heartbeat, b"manual", START + 21)
        heartbeat.give_up(manual)
        assert heartbeat.pong(b"manual", START + 25) == [awaited, manual]
        assert heartbeat.round_trips.latency == 4

    @pytest.mark.parametrize("ping_timeout", [None, 1000])
    def test_many_are_remembered_up_to_a_bound(self, ping_timeout: float | None) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=ping_timeout)
        keepalive = keepalive_ping(heartbeat)
        pings = [manual_ping(heartbeat, bytes([number]), START + 21) for number in range(100)]
        for ping in pings:
            heartbeat.give_up(ping)
        kept = pings[-16:] if ping_timeout is None else [keepalive, *pings[-16:]]
        assert heartbeat.pong(bytes([83]), START + 22) == []
        assert heartbeat.pong(bytes([99]), START + 22) == kept

    def test_after_its_pong_there_is_nothing_to_give_up(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        manual = manual_ping(heartbeat, b"manual", START)
        heartbeat.pong(b"manual", START + 1)
        heartbeat.give_up(manual)
        assert heartbeat.wake_at == START + 20


class TestStalledLoop:
    """Rule 4."""

    def test_deadline_is_put_off_by_as_long_as_the_loop_stood_still(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 33, b"", 3) == []
        assert ping.put_off
        assert heartbeat.wake_at == ping.deadline == START + 36
        assert heartbeat.tick(START + 36, b"", UP_TO_DATE) == [Fail(ping)]

    def test_a_loop_that_has_caught_up_excuses_nothing(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 33, b"", UP_TO_DATE) == [Fail(ping)]
        assert not ping.put_off

    def test_by_no_more_than_the_timeout(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 100, b"", 70) == []
        assert heartbeat.wake_at == START + 110

    def test_only_once(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 33, b"", 3) == []
        assert heartbeat.tick(START + 50, b"", 10) == [Fail(ping)]

    def test_deadlines_do_not_gather_at_one_instant(self) -> None:
        """Thousands that come at once would make the loop stand still again."""
        deadlines = []
        for number in range(3):
            heartbeat = opened(ping_interval=20, ping_timeout=10)
            ping = keepalive_ping(heartbeat)
            heartbeat.tick(START + 30 + number, b"", 5)
            deadlines.append(ping.deadline)
        assert deadlines == [START + 35, START + 36, START + 37]

    def test_a_deadline_that_has_not_passed_is_not_put_off(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = keepalive_ping(heartbeat)
        assert heartbeat.tick(START + 29, b"", 11) == []
        assert not ping.put_off
        assert heartbeat.wake_at == START + 30

    def test_a_manual_ping_is_put_off_too(self) -> None:
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
            heartbeat.read_paused(paused, START + at)
        assert ping is not None
        assert commands == [Fail(ping)]
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

    def test_a_manual_ping_is_put_off_too(self) -> None:
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
        assert (heartbeat.wake_at, ping.put_off) == (START + 49, 4)
        if resumed:
            heartbeat.read_paused(False, START + 47)
        assert heartbeat.tick(START + 48, b"", 4) == []
        assert heartbeat.tick(START + 49, b"", 4) == [Fail(ping)]

    def test_a_pause_after_a_stall_counts_too(self) -> None:
        heartbeat = opened(ping_interval=20, ping_timeout=10)
        ping = ping_at(heartbeat, START + 20)
        assert heartbeat.tick(START + 31, b"", 4) == []
        heartbeat.read_paused(True, START + 32)
        heartbeat.read_paused(False, START + 35)
        assert heartbeat.tick(START + 35, b"", 4) == []
        assert heartbeat.wake_at == START + 38
        assert heartbeat.tick(START + 38, b"", 4) == [Fail(ping)]

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
        assert not any(isinstance(command, Fail) for command in commands)
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


SECONDS = st.sampled_from([0.0, 0.0004, 0.5, 1.0, 1.5, 5.0]) | st.floats(0, 10)
ROUNDING = 1e-6

REFUSED = 8.0
"""A Ping that would take longer to write than this is refused instead."""

LIMIT = st.none() | st.sampled_from([0.01, 1.0, 2.0, 5.0])
SETTINGS = st.builds(Settings, ping_interval=LIMIT, ping_timeout=LIMIT)


class ArbitraryEvents(RuleBasedStateMachine):
    """Whatever the application, the peer, the clock and the event loop do."""

    @initialize(settings=SETTINGS)
    def begin(self, settings: Settings) -> None:
        self.now = START
        self.heartbeat = Heartbeat(settings)
        self.ended = False
        self.count = 0
        self.in_flight: list[Ping] = []
        self.written_at: dict[Ping, float] = {}
        self.timeouts: dict[Ping, float | None] = {}
        self.acknowledged: list[Ping] = []
        self.due: dict[Ping, float] = {}
        self.pauses: list[tuple[float, float]] = []
        self.paused_at: float | None = None
        self.always_without_timeout = settings.ping_timeout is None

    @property
    def settings(self) -> Settings:
        return self.heartbeat.settings

    def payload(self) -> bytes:
        self.count += 1
        return self.count.to_bytes(4, "big")

    def write(self, ping: Ping, delay: float) -> None:
        self.now += delay
        self.heartbeat.written(ping, self.now)
        self.in_flight.append(ping)
        self.written_at[ping] = self.now
        timeout = self.timeouts[ping] = self.settings.ping_timeout
        self.due[ping] = inf if timeout is None else self.now + timeout

    @precondition(lambda self: not self.heartbeat.is_open and not self.ended)
    @rule()
    def open(self) -> None:
        self.heartbeat.open(self.now)

    @rule()
    def close(self) -> None:
        self.heartbeat.close()
        self.in_flight.clear()
        self.ended = True

    @rule(settings=SETTINGS)
    def configure(self, settings: Settings) -> None:
        keeps = {
            ping: ping.deadline
            for ping in self.in_flight
            if ping.manual or None not in (settings.ping_interval, settings.ping_timeout)
        }
        self.heartbeat.configure(settings)
        for ping in self.in_flight:
            assert ping.deadline == keeps.get(ping, inf)
        self.always_without_timeout &= settings.ping_timeout is None

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def pause_or_resume(self) -> None:
        if self.paused_at is None:
            self.paused_at = self.now
        else:
            self.pauses.append((self.paused_at, self.now))
            self.paused_at = None
        self.heartbeat.read_paused(self.paused_at is not None, self.now)

    def paused(self, ping: Ping) -> float:
        """Return for how long reading has been paused since the Ping was written."""
        written_at = self.written_at[ping]
        pauses = list(self.pauses)
        if self.paused_at is not None:
            pauses.append((self.paused_at, self.now))
        return sum(end - max(begin, written_at) for begin, end in pauses if end > written_at)

    @rule(delay=SECONDS, stood_still=st.just(0.0) | SECONDS)
    def tick_when_due(self, delay: float, stood_still: float) -> None:
        if self.heartbeat.wake_at < inf:
            self.now = max(self.now, self.heartbeat.wake_at)
        self.tick(delay, stood_still)

    @rule(delay=SECONDS, stood_still=st.just(0.0) | SECONDS)
    def tick(self, delay: float, stood_still: float) -> None:
        now = self.now
        before = {ping: ping.put_off for ping in self.in_flight}
        overdue = {ping for ping in self.in_flight if ping.deadline <= now}
        was_open = self.heartbeat.is_open
        commands = self.heartbeat.tick(now, self.payload(), stood_still)
        assert was_open or not commands
        for command in commands:
            if isinstance(command, SendPing):
                self.sent(command.ping, delay)
            else:
                assert command.ping in overdue
                self.given_up(command, now)
        if self.ended:
            return
        for ping in before.keys() & set(self.in_flight):
            if ping.put_off != before[ping]:  # which is for the first time
                timeout = self.timeouts[ping]
                assert timeout is not None
                assert ping in overdue
                assert (before[ping], ping.put_off) == (0, stood_still)
                assert ping.deadline == pytest.approx(now + min(stood_still, timeout))
                self.due[ping] = ping.due
            assert ping.deadline >= now

    def sent(self, ping: Ping, delay: float) -> None:
        assert self.settings.ping_interval is not None
        assert not ping.manual
        assert self.awaited() == []
        if delay > REFUSED:
            self.heartbeat.refused(ping, self.now)
            assert self.heartbeat.wake_at > self.now
        else:
            self.write(ping, delay)

    def given_up(self, command: Expire | Fail, now: float) -> None:
        ping = command.ping
        timeout = self.timeouts[ping]
        assert timeout is not None
        assert now >= self.written_at[ping] + timeout + min(self.paused(ping), timeout) - ROUNDING
        assert now >= self.written_at[ping] + timeout
        if isinstance(command, Expire):
            assert ping.manual
            self.in_flight.remove(ping)
        else:
            assert self.awaited() == [ping]
            self.in_flight.clear()
            self.ended = True

    def awaited(self) -> list[Ping]:
        return [ping for ping in self.in_flight if ping.deadline < inf and not ping.manual]

    @rule(count=st.integers(2, 2 * REMEMBERED))
    def silence(self, count: int) -> None:
        for _ in range(count):
            self.tick_when_due(0.0, 0.0)

    @precondition(lambda self: self.heartbeat.is_open)
    @rule(delay=SECONDS)
    def ping(self, delay: float) -> None:
        before = self.heartbeat.wake_at
        ping = self.heartbeat.ping(self.payload(), self.now)
        assert ping.manual
        self.write(ping, delay)
        assert self.heartbeat.wake_at == min(before, ping.deadline)

    @precondition(lambda self: any(ping.manual for ping in self.written_at))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        manual = [ping for ping in self.written_at if ping.manual]
        self.heartbeat.give_up(data.draw(st.sampled_from(manual)))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def pong(self, data: st.DataObject) -> None:
        ping = data.draw(st.sampled_from(self.in_flight))
        index = self.in_flight.index(ping)
        acknowledged = self.heartbeat.pong(ping.payload, self.now)
        if not acknowledged:  # forgotten: more than enough have been sent since
            later = [one for one in self.in_flight[index + 1 :] if not one.manual]
            assert not ping.manual
            assert ping.deadline == inf
            assert len(later) >= REMEMBERED
            return
        assert acknowledged[-1] is ping
        assert set(acknowledged) <= set(self.in_flight[: index + 1])
        assert [one for one in acknowledged if one.manual] == [
            one for one in self.in_flight[: index + 1] if one.manual
        ]
        if self.always_without_timeout:
            assert len([one for one in acknowledged if not one.manual]) <= REMEMBERED
        assert self.heartbeat.round_trips.latency == self.now - self.written_at[ping]
        self.acknowledged += acknowledged
        del self.in_flight[: index + 1]

    @rule(data=st.data(), garbage=st.binary(max_size=6))
    def pong_that_answers_nothing(self, data: st.DataObject, garbage: bytes) -> None:
        payload = garbage
        if self.acknowledged:
            stale = [ping.payload for ping in self.acknowledged]
            payload = data.draw(st.sampled_from(stale) | st.just(garbage))
        if payload in [ping.payload for ping in self.in_flight]:
            return
        before = self._seen()
        assert self.heartbeat.pong(payload, self.now) == []
        assert self._seen() == before

    def _seen(self) -> tuple[object, ...]:
        heartbeat = self.heartbeat
        return heartbeat.round_trips.snapshot(), heartbeat.wake_at, heartbeat.is_open

    @invariant()
    def deadlines_are_put_off_by_as_long_as_reading_was_paused(self) -> None:
        for ping in self.in_flight:
            timeout, due = self.timeouts[ping], self.due[ping]
            if timeout is None or ping.deadline == inf:
                continue
            assert ping.due == due >= self.written_at[ping] + timeout
            assert due <= ping.deadline <= due + timeout
            if self.paused_at is None:
                put_off = min(self.paused(ping), timeout)
                assert ping.deadline == pytest.approx(due + put_off, abs=ROUNDING)

    @invariant()
    def at_most_one_keepalive_ping_is_awaited(self) -> None:
        assert len(self.awaited()) <= 1

    @invariant()
    def something_is_due_exactly_while_open_and_enabled(self) -> None:
        enabled = self.heartbeat.is_open and self.settings.ping_interval is not None
        waited_for = any(ping.deadline < inf for ping in self.in_flight)
        assert (self.heartbeat.wake_at < inf) == (enabled or waited_for)

    @invariant()
    def once_closed_it_stays_closed(self) -> None:
        assert not (self.ended and self.heartbeat.is_open)


TestArbitraryEvents = ArbitraryEvents.TestCase
TestArbitraryEvents.settings = hypothesis_settings(
    max_examples=150, stateful_step_count=50, deadline=None
)
