"""The heartbeat's rules against arbitrary events."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asgi_keepalive.extension import Traffic
from asgi_keepalive.heartbeat import REMEMBERED, Expire, Heartbeat, Overdue, Ping, SendPing
from asgi_keepalive.settings import Settings
from asgi_keepalive.verdict import Verdict

from ..support.heartbeat import START

SECONDS = st.sampled_from([0.0, 0.0004, 0.5, 1.0, 1.5, 5.0]) | st.floats(0, 10)
ROUNDING = 1e-6

REFUSED = 8.0
"""A Ping that would take longer to write than this is refused instead."""

LIMIT = st.none() | st.sampled_from([0.01, 1.0, 2.0, 5.0])
SETTINGS = st.builds(
    Settings,
    ping_interval=LIMIT,
    ping_timeout=LIMIT,
    liveness=st.sampled_from(["pong", "progress"]),
)
BYTES = st.sampled_from([0, 1, 600, 5_000, 100_000])


class ArbitraryEvents(RuleBasedStateMachine):
    """Whatever the application, the peer, the clock and the event loop do."""

    @initialize(settings=SETTINGS, is_counted=st.booleans())
    def begin(self, settings: Settings, is_counted: bool) -> None:
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
        self.acknowledged_bytes = self.unacknowledged_bytes = self.received_bytes = 0
        self.heard_at = START
        self.progressed_at = START
        self.is_counted = is_counted
        self.put_off_at: dict[Ping, float] = {}

    @property
    def settings(self) -> Settings:
        return self.heartbeat.settings

    def payload(self) -> bytes:
        self.count += 1
        return self.count.to_bytes(4, "big")

    def write(self, ping: Ping, delay: float) -> None:
        self.now += delay
        counts = self.unacknowledged_bytes and self.heartbeat.counts(ping)
        self.unacknowledged_bytes += 6
        self.heartbeat.written(ping, self.now, self.traffic() if counts else None)
        self.in_flight.append(ping)
        self.written_at[ping] = self.now
        timeout = self.timeouts[ping] = self.settings.ping_timeout
        self.due[ping] = inf if timeout is None else self.now + timeout

    def traffic(self) -> Traffic:
        if not self.is_counted:
            return {"unsent": self.unacknowledged_bytes or None}
        return {
            "unsent": self.unacknowledged_bytes,
            "quiet": self.now - self.heard_at,
            "acknowledged": self.acknowledged_bytes,
            "unacknowledged": self.unacknowledged_bytes,
            "received": self.received_bytes,
        }

    @rule(count=BYTES)
    def bytes_are_written(self, count: int) -> None:
        self.unacknowledged_bytes += count

    @rule(count=BYTES)
    def bytes_are_acknowledged(self, count: int) -> None:
        count = min(count, self.unacknowledged_bytes)
        self.acknowledged_bytes += count
        self.unacknowledged_bytes -= count
        if count:
            self.progressed_at = self.now

    @rule(count=BYTES)
    def bytes_are_received(self, count: int) -> None:
        self.received_bytes += count
        if count:
            self.progressed_at = self.heard_at = self.now

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
        """Return for how long reading has been paused since the Ping was written, or put off."""
        written_at = self.put_off_at.get(ping, self.written_at[ping])
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
        before = {ping: ping.postponed for ping in self.in_flight}
        put_off = self.put_off_at.copy()
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
            if self.put_off_at.get(ping) != put_off.get(ping):
                assert ping.postponed == 0
            elif ping.postponed != before[ping]:  # which is for the first time
                timeout = self.timeouts[ping]
                assert timeout is not None
                assert ping in overdue
                assert (before[ping], ping.postponed) == (0, stood_still)
                assert ping.deadline == pytest.approx(now + min(stood_still, timeout))
                self.due[ping] = ping.due
            # Once another is put off, a manual one expires at the next tick, which is due at once.
            assert ping.deadline >= now or (ping.manual and self.put_off_at != put_off)

    def sent(self, ping: Ping, delay: float) -> None:
        assert self.settings.ping_interval is not None
        assert not ping.manual
        assert self.awaited() == []
        if delay > REFUSED:
            self.heartbeat.refused(ping, self.now)
            assert self.heartbeat.wake_at > self.now
        else:
            self.write(ping, delay)

    def given_up(self, command: Expire | Overdue, now: float) -> None:
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
            self.judged(ping, timeout, now)

    def judged(self, ping: Ping, timeout: float, now: float) -> None:
        """The Ping is overdue, so that the connection is failed, or it is put off."""
        paused = self.paused(ping)
        judged = self.heartbeat.judge(ping, self.traffic(), now)
        if isinstance(judged, Verdict):
            self.in_flight.clear()
            self.ended = True
            return
        assert self.settings.liveness == "progress"
        assert paused <= timeout + ROUNDING
        assert now < judged.until <= now + timeout
        # Without any progress it is put off once.
        assert self.progressed_at >= self.put_off_at.get(ping, self.progressed_at)
        self.put_off_at[ping] = now
        self.due[ping] = judged.until

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
    def deadlines_are_postponed_by_as_long_as_reading_was_paused(self) -> None:
        for ping in self.in_flight:
            timeout, due = self.timeouts[ping], self.due[ping]
            if timeout is None or ping.deadline == inf:
                continue
            assert ping.due == due >= self.written_at[ping] + timeout
            assert due <= ping.deadline <= due + timeout
            if self.paused_at is None:
                postponed = min(self.paused(ping), timeout)
                assert ping.deadline == pytest.approx(due + postponed, abs=ROUNDING)

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
