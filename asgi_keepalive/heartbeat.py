"""The heartbeat decides when to ping, which Pong answers what, and when the peer is dead.

This is the whole of the timing, without I/O: `now` (monotonic seconds) and the payload for the
next Ping come in as arguments, commands come out. Its rules:

1. A keepalive Ping is due `ping_interval` seconds after the last one was written, or refused. While
   `ping_timeout` is set it waits for that one's Pong too, so at most one is in flight; with
   `None` one goes out per interval, and the last `REMEMBERED` are remembered. It may go out a
   little early, and whoever drives the heartbeat may move it (`next_ping_at`).
2. Only a Pong with the payload of a Ping in flight counts. It acknowledges the Pings sent before
   that one as well (RFC 6455 5.5.3 lets a peer answer only the most recent Ping).
3. A keepalive Ping still in flight `ping_timeout` seconds after it was written is overdue, and
   `judge` fails the connection. A manual Ping, one that the application asked for, only expires.
4. A stalled event loop is not the peer's fault. A deadline that passes while the loop is still
   catching up with what piled up during a stall is postponed, once, by as long as that took.
5. An application that is behind, so that the server does not read, is not the peer's fault either.
   A deadline is postponed by as long as reading has been paused since the Ping was written, in
   all, but by no more than `ping_timeout`: an application may not be behind for ever.
6. With `liveness="progress"` the deadline of a keepalive Ping is put off as `progress.py` says, but
   not while the application is behind for longer than rule 5 allows. Then 4 and 5 begin anew.

Everything a peer may do is legal input; nothing it does raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from .extension import Traffic
from .latency import RoundTrips
from .progress import Progress, PutOff
from .settings import Settings
from .verdict import Verdict

REMEMBERED = 16
"""So many unanswered keepalive Pings are remembered while nothing times out."""

EARLY, EARLY_SHARE = 0.02, 0.05
"""A Ping may go out so many seconds early, and by that share of the interval: with others."""


@dataclass(slots=True, eq=False)
class Ping:
    """A Ping in flight. Times are monotonic seconds; an infinite deadline is none.

    Attributes:
        timeout: How long to wait for its Pong.
        due: When that is over, had reading never been paused.
        deadline: The same, postponed because it has been.
        postponed: For how long the event loop stood still, if both have been postponed by that.
        paused_before: For how long reading had been paused before it was written, or put off.
        progress: What has been counted since it was written, if anything has.
    """

    payload: bytes
    sent_at: float
    manual: bool
    timeout: float = inf
    due: float = inf
    deadline: float = inf
    postponed: float = 0.0
    paused_before: float = 0.0
    progress: Progress | None = None

    def wait_for_ever(self) -> None:
        """Let it have no deadline any more."""
        self.due = self.deadline = inf

    def allow_for(self, paused: float) -> None:
        """Postpone the deadline by as long as reading has been paused, within the bound."""
        self.deadline = self.due + min(paused, self.timeout)


@dataclass(slots=True)
class SendPing:
    """Write this Ping, then tell `Heartbeat.written`, or `Heartbeat.refused`."""

    ping: Ping


@dataclass(slots=True)
class Expire:
    """This manual Ping was not answered in time."""

    ping: Ping


@dataclass(slots=True)
class Overdue:
    """This keepalive Ping was not answered in time: `Heartbeat.judge` the peer."""

    ping: Ping


Command = SendPing | Expire | Overdue


class Heartbeat:
    """The heartbeat of one connection; nothing is due before `open` and after `close`."""

    __slots__ = (
        "_awaited",
        "_paused",
        "_paused_at",
        "_pinged_at",
        "_pings",
        "is_open",
        "next_ping_at",
        "round_trips",
        "settings",
    )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.is_open = False
        self.round_trips = RoundTrips()
        self._pings: list[Ping] = []  # in flight, in the order they were sent
        self._awaited: Ping | None = None  # the keepalive Ping that has a deadline
        self._paused = 0.0  # for how long reading was, until it went on the last time
        self._paused_at: float | None = None  # since when it is
        self._pinged_at = 0.0  # when the last keepalive Ping was tried, or the connection opened
        self.next_ping_at = inf
        """The next keepalive Ping is due then, if no Pong is awaited; it may be moved."""

    def open(self, now: float) -> None:
        """The connection has been accepted."""
        self.is_open = True
        self._next_ping_from(now)

    def _next_ping_from(self, now: float) -> None:
        self._pinged_at = now
        interval = self.settings.ping_interval
        self.next_ping_at = inf if interval is None else now + interval

    def close(self) -> None:
        """The connection is closing or lost: nothing more will be sent or expected."""
        self.is_open = False
        self.next_ping_at = inf
        self._pings.clear()
        self._awaited = None

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on.

        A Ping in flight keeps its deadline, unless keepalive or heartbeat is now turned off.
        """
        self.settings = settings
        if self.is_open:
            self._next_ping_from(self._pinged_at)
        if self._awaited is not None and None in (settings.ping_interval, settings.ping_timeout):
            self._awaited.wait_for_ever()
            self._awaited = None

    @property
    def wake_at(self) -> float:
        """The time at which to call `tick` next; infinity if never."""
        deadline, next_ping_at = self.deadline, self.next_ping_at
        return next_ping_at if next_ping_at < deadline and self._awaited is None else deadline

    @property
    def deadline(self) -> float:
        """The first deadline of a Ping in flight; infinity if none has one."""
        deadline = inf
        for ping in self._pings:
            if ping.deadline < deadline:
                deadline = ping.deadline
        return deadline

    def tick(self, now: float, payload: bytes, stall: float) -> list[Command]:
        """Say what is to be done at `now`.

        Args:
            now: Monotonic seconds.
            payload: For the next Ping, should one be due: random, so that only its Pong matches.
            stall: By how many seconds to postpone a deadline, as the event loop stood still and
                has not caught up yet; 0 if it has.
        """
        commands: list[Command] = []
        for ping in self._pings.copy():
            if now >= ping.deadline:
                # While reading is paused the deadline recedes; when it goes on we shall know more.
                is_paused = self._paused_at is not None
                ping.allow_for(inf if is_paused else self.paused(ping, now))
            if now < ping.deadline:
                continue
            if stall and not ping.postponed:
                ping.postponed = stall
                seconds = now - ping.deadline + min(stall, ping.timeout)
                ping.due += seconds
                ping.deadline += seconds
            elif ping.manual:
                commands.append(Expire(ping))
            else:  # manual ones expire later, should this be put off
                return [Overdue(ping)]
        for command in commands:
            self._pings.remove(command.ping)
        early = EARLY_SHARE * (self.settings.ping_interval or 0.0)
        if self._awaited is None and now >= self.next_ping_at - (early if early < EARLY else EARLY):
            commands.append(SendPing(self._new_ping(payload, now, manual=False)))
        return commands

    def ping(self, payload: bytes, now: float) -> Ping:
        """Add a manual Ping: write it, then tell `written`, or `refused`."""
        return self._new_ping(payload, now, manual=True)

    def give_up(self, ping: Ping) -> None:
        """Nobody waits for the Pong of this manual Ping any more; it may still come."""
        ping.manual = False
        ping.wait_for_ever()
        self._forget()

    def _new_ping(self, payload: bytes, now: float, *, manual: bool) -> Ping:
        ping = Ping(payload, now, manual)
        self._pings.append(ping)
        return ping

    def _forget(self) -> None:
        """Keep the number of unanswered Pings bounded that nobody waits for."""
        unanswered = [p for p in self._pings if not p.manual and p is not self._awaited]
        if len(unanswered) > REMEMBERED:
            self._pings.remove(unanswered[0])

    def written(self, ping: Ping, now: float, traffic: Traffic | None = None) -> None:
        """The Ping has been written: its round trip and its deadline begin at `now`."""
        ping.progress = None if traffic is None else Progress(now, traffic)
        self.round_trips.pings += 1
        ping.sent_at = now
        ping.paused_before = self._paused_until(now)
        timeout = self.settings.ping_timeout
        if timeout is not None:
            ping.timeout = timeout
            ping.due = ping.deadline = now + timeout
        if not ping.manual:
            self._next_ping_from(now)
            # Its Pong may have come already, from a server that only pretends to write.
            self._awaited = ping if timeout is not None and ping in self._pings else None
        if self._awaited is None:
            self._forget()

    def refused(self, ping: Ping, now: float) -> None:
        """The Ping could not be written: the next keepalive Ping is tried an interval later."""
        if ping in self._pings:
            self._pings.remove(ping)
        if self.is_open and not ping.manual:
            self._next_ping_from(now)

    @property
    def awaited_since(self) -> float | None:
        """The time at which the first unanswered Ping was written, or `None`; for any thread."""
        for ping in self._pings:  # another thread must not look twice
            return ping.sent_at
        return None

    def read_paused(self, paused: bool, now: float) -> None:
        """The server has stopped reading, as too much is unread, or goes on."""
        if not paused:
            self._paused, self._paused_at = self._paused_until(now), None
            for ping in self._pings:
                ping.allow_for(self.paused(ping, now))
        elif self._paused_at is None:
            self._paused_at = now

    def _paused_until(self, now: float) -> float:
        """Return for how long reading has been paused so far."""
        return self._paused if self._paused_at is None else self._paused + now - self._paused_at

    def paused(self, ping: Ping, now: float) -> float:
        """Return for how long reading has been paused since the Ping was written, in all."""
        return max(0.0, self._paused_until(now) - ping.paused_before)  # clocks are coarse

    def counts(self, ping: Ping) -> bool:
        """Whether the traffic is to be counted, if something is buffered in front of this Ping."""
        return self.settings.liveness == "progress" and not ping.manual

    def judge(self, ping: Ping, traffic: Traffic, now: float) -> PutOff | Verdict:
        """Return what puts an overdue Ping off, or why the connection is to be failed."""
        progress = ping.progress = ping.progress or Progress(ping.sent_at)
        paused, stalled = self.paused(ping, now), ping.postponed
        found = progress.put_off(traffic, now, ping.timeout) if self.counts(ping) else None
        if found is None or paused > ping.timeout:
            self.close()
            return progress.judge(traffic, now, ping.timeout, paused, stalled)
        ping.due = ping.deadline = found.until
        ping.postponed, ping.paused_before = 0.0, self._paused_until(now)
        return found

    def pong(self, payload: bytes, now: float) -> list[Ping]:
        """Take in a Pong; return the Pings it acknowledges, the one it answers last."""
        for count, ping in enumerate(self._pings, 1):
            if ping.payload == payload:
                acknowledged = self._pings[:count]
                del self._pings[:count]
                if self._awaited in acknowledged:
                    self._awaited = None
                latency = now - ping.sent_at
                self.round_trips.add(latency if latency > 0 else 0.0, now)
                return acknowledged
        return []
