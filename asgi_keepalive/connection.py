"""One WebSocket connection: its Pings, and how it is failed, or ended as planned.

`Heartbeat` says when a Ping is due and which Pong answers it. A connection does what it says,
through the `websocket.ping` extension of its server. Its application calls `Calls`, which asks
here for the state, one of `states.py`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from math import inf

from .exceptions import ConnectionClosed, KeepaliveUnsupported
from .extension import Disconnected, Event, OnExit, Scope, Server, Traffic
from .heartbeat import Command, Expire, Heartbeat, Ping, SendPing
from .levels import RAISED, Levels, new_payload
from .log import logger
from .manual import NOT_ACCEPTED, ManualPings, must_run_in
from .observers import Factory
from .planned import LEAD, MAX_AGE, SHORTEST, YOUNGEST, PlannedEnd, Why
from .reporting import Reporter
from .scopes import with_keepalive
from .settings import Settings
from .stall import INTERVAL
from .state import Keepalive, KeepaliveTimeout
from .states import LIVING, OPEN, TRANSITIONS, State, Step
from .stepping import Suspended
from .timer import Timer
from .verdict import REFUSED, Verdict, nothing_came

TIMED_OUT = Why(1011, "keepalive ping timeout")


class Connection:
    """One connection that is kept alive.

    Args:
        server: The server's side; it is taken over.
        scope: The server's ASGI scope.
        settings: The settings to begin with.
        factories: The observers.

    Attributes:
        disconnect: Once it has been failed, or ended as planned, the event that its application
            receives for ever; `None` before that.
        keepalive: What the application reads.
        scope: The application's ASGI scope.
        state: Changes as `TRANSITIONS` of `states.py` says.
        timer: Wakes the heartbeat.
        waiting: The application's calls that are blocked in the server; `None` if it ends them.

    Raises:
        Exception: The server refuses to be taken over.
    """

    __slots__ = (
        "__weakref__",
        "_began_at",
        "_heartbeat",
        "_levels",
        "_manual",
        "_planned",
        "_report",
        "_was_refused",
        "disconnect",
        "keepalive",
        "scope",
        "state",
        "timer",
        "waiting",
    )

    def __init__(
        self, server: Server, scope: Scope, settings: Settings, factories: tuple[Factory, ...] = ()
    ) -> None:
        self.state = State.CONNECTING
        self.disconnect: Event | None = None
        self.timer = Timer()
        self.waiting: list[Suspended] | None = None if server.releases_calls else []
        self._began_at = time.monotonic()
        self._heartbeat = Heartbeat(settings)
        self._manual = ManualPings()
        self._planned: PlannedEnd | None = None
        self._was_refused = False  # the last keepalive Ping
        self._levels = Levels(server)
        self.keepalive = Keepalive(settings, self, self._heartbeat.round_trips)
        self.scope = with_keepalive(scope, self.keepalive)
        self._report = Reporter(self.scope, factories)
        if missing := self._levels.missing:
            self._report.lacking(missing)
        self._levels.bound_closing(settings.close_timeout)
        self._levels.take_over(self.on_pong, self.on_closing, self.on_read_paused)
        if server.is_accepted:
            self.on_accepted()

    # The application and the middleware call these, through `Keepalive`.

    async def ping(self) -> float:
        """Send a manual Ping, see `Keepalive.ping`."""
        await self.timer.turn_if_due()
        if self.state is State.CONNECTING:
            raise ConnectionClosed(NOT_ACCEPTED)
        if self.state is not OPEN:
            raise self.keepalive._closed_error()
        assert self.timer.crowd is not None  # as the connection is open
        must_run_in(self.timer.crowd.loop)
        ping = self._heartbeat.ping(new_payload(), time.monotonic())
        answer = self._manual.expect(ping)
        try:
            self._write(ping)
            self._set_timer()
            return await answer
        finally:
            del answer  # it holds the error whose traceback holds this frame
            self._manual.forget(ping)
            self._heartbeat.give_up(ping)

    def configure(self, settings: Settings) -> None:
        """Use other settings for the rest of the connection."""
        max_age = self._heartbeat.settings.max_age
        self._heartbeat.configure(settings)
        self._levels.bound_closing(settings.close_timeout)
        self._set_timer()
        if settings.max_age != max_age and self.state in LIVING:
            self._plan_age(settings.max_age)

    def announce_exit(self, on_exit: OnExit) -> bool:
        """Let the server tell of its exit; return whether it can."""
        return self._levels.announce_exit(on_exit)

    def plan(self, end: PlannedEnd) -> None:
        """Plan an end, unless it is closing. A drain's end is final, but may become earlier."""
        planned = self._planned
        if self.state not in LIVING:
            return
        if planned is not None and planned.at <= end.at:
            if planned.why is end.why:
                return
            end.at = planned.at
        self._unplan()
        self._planned = end
        self.keepalive._ends_at = end.at
        if self.state is not State.CONNECTING:
            self._count_down()

    def observe(self, factories: tuple[Factory, ...]) -> None:
        """Let others observe the connection, too."""
        self._report.join(factories)

    @property
    def awaited_since(self) -> float | None:
        """The time at which the first unanswered Ping was written; `None` if there is none."""
        return self._heartbeat.awaited_since

    # The application's calls, its return, and the server tell of these.

    def on_accepted(self) -> None:
        """The application has accepted the connection: begin with the heartbeat."""
        if not self._go(Step.ACCEPTED):
            return
        self._heartbeat.open(time.monotonic())
        self.timer.start(self._on_timer)
        self._report.opened()
        self._set_timer()
        self._plan_age(self.keepalive.max_age)
        self._count_down()

    def on_closing(self) -> None:
        """The connection begins to close, or is lost, or its application has returned."""
        self._go(Step.CLOSING)
        self._unplan()
        self._end_heartbeat(self.keepalive._closed_error)
        self._report.closed()

    def on_returned(self) -> None:
        """The application has returned: leave nothing behind."""
        self.on_closing()
        self.keepalive._link = None

    def on_pong(self, payload: bytes, now: float) -> None:
        """A Pong frame has come."""
        acknowledged = self._heartbeat.pong(payload, now)
        if not acknowledged:
            return
        if self._manual:
            self._manual.acknowledge(acknowledged, now)
        self._set_timer()
        self._report.ponged(payload, self._heartbeat.round_trips.latency)

    def on_read_paused(self, paused: bool, now: float) -> None:
        """The server has stopped reading, as the application is behind, or goes on."""
        self._heartbeat.read_paused(paused, now)
        self._set_timer()

    def _go(self, step: Step) -> bool:
        """Take a step; return whether this state knows it, as nothing changes otherwise."""
        known = TRANSITIONS[self.state]
        if step not in known:
            self._report.unexpected(step.value, self.state.value, [one.value for one in known])
            return False
        self.state = known[step]
        return True

    def _end_heartbeat(self, error: Callable[[], Exception]) -> None:
        """Send nothing, expect nothing, and time nothing any more."""
        self._heartbeat.close()
        self.timer.stop()
        self._manual.end(error)

    # The timer calls the first of these, a test the second.

    def _on_timer(self) -> None:
        now = time.monotonic()
        stall = self.timer.fired(now)
        traffic: Traffic = {}
        if stall and now >= self._heartbeat.deadline:
            traffic = self._levels.traffic()
            waited = now - (self._heartbeat.awaited_since or now)
            # A loop that did not turn between the Ping and the stall may have sent it only now.
            if waited > 2 * stall + INTERVAL and nothing_came(traffic, waited):
                stall = 0.0  # so no Pong can be on its way through the server
        self._tick(now, stall, traffic)

    def skip(self) -> bool:
        """Do at once what is to come next: a Pong is overdue, or else a Ping is due.

        It returns whether anything was to come. `asgi_keepalive.testing` need not wait.
        """
        heartbeat = self._heartbeat
        now = heartbeat.deadline if heartbeat.deadline < inf else heartbeat.next_ping_at
        if now < inf:
            self._tick(now, 0.0, {})
        return now < inf

    def _tick(self, now: float, stall: float, traffic: Traffic) -> None:
        try:
            for command in self._heartbeat.tick(now, new_payload(), stall):
                self._carry_out(command, now, traffic)
        finally:  # a heartbeat that is open goes on, whatever has been raised
            self._set_timer()

    def _set_timer(self) -> None:
        heartbeat, timer = self._heartbeat, self.timer
        if heartbeat.next_ping_at != timer.ping_at:
            interval = heartbeat.settings.ping_interval
            heartbeat.next_ping_at = timer.plan(heartbeat.next_ping_at, interval)
        deadline = heartbeat.deadline
        if timer.has_deadline is (deadline == inf):
            timer.watch_stalls(deadline < inf)
        # Wake when the next Ping may be due, rather than at a deadline. The Pong most often comes
        # before, and then the timer need not be set anew.
        if timer.at > heartbeat.next_ping_at or timer.at > deadline:
            timer.set(heartbeat.wake_at, heartbeat.next_ping_at)

    def _carry_out(self, command: Command, now: float, traffic: Traffic) -> None:
        if isinstance(command, SendPing):
            try:
                self._write(command.ping)
                self._was_refused = False
            except KeepaliveUnsupported as refusal:
                self._on_refusal(refusal)
        elif isinstance(command, Expire):
            self._manual.expire(command.ping, now)
        else:
            self._judge(command.ping, now, traffic or self._levels.traffic())

    def _write(self, ping: Ping) -> None:
        """Write a Ping.

        Raises:
            KeepaliveUnsupported: The server has refused it.
        """
        counts = self._heartbeat.counts(ping) and self._levels.has_buffered
        try:
            self._levels.ping(ping.payload)
        except OSError:
            self.on_closing()
        except RAISED as error:
            self._heartbeat.refused(ping, time.monotonic())
            raise KeepaliveUnsupported("the server has refused the Ping") from error
        if self.state is not OPEN:  # it is closing, perhaps as this Ping told
            return
        traffic = self._levels.traffic() if counts else None
        self._heartbeat.written(ping, time.monotonic(), traffic)
        self._report.pinged(ping.payload)

    def _on_refusal(self, refusal: KeepaliveUnsupported) -> None:
        """Warn of a refusal, which may be an accident; after two in a row there is no keepalive."""
        required = self.keepalive._settings.required
        if not self._was_refused or self.state is not OPEN:
            self._was_refused = True
            self._report.refused(refusal.__cause__, required=required)
            return
        self.keepalive._give_up("off: the server has refused two Pings in a row")
        if required:
            self._fail(REFUSED)
        else:
            self._go(Step.REFUSED)
            self._end_heartbeat(lambda: KeepaliveUnsupported(*refusal.args))

    # Planned ends.

    def _plan_age(self, max_age: float | None) -> None:
        if self._planned is not None:
            if self._planned.why is not MAX_AGE:
                return
            self._unplan()
            self.keepalive._ends_at = self.keepalive._reconnect_after = None
        if max_age is not None:
            age = max_age * random.uniform(YOUNGEST, 1)
            self.plan(PlannedEnd(self._began_at + age, MAX_AGE))

    def _count_down(self) -> None:
        """Give notice of a planned end in time."""
        planned, keepalive = self._planned, self.keepalive
        if planned is None:
            return
        if keepalive._on_news is not None or self._report.is_observed:
            planned.at = keepalive._ends_at = max(planned.at, time.monotonic() + LEAD)
        planned.call_at(planned.at - keepalive._settings.notice, self._give_notice)

    def _unplan(self) -> None:
        planned, self._planned = self._planned, None
        if planned is not None:
            planned.cancel()

    def _give_notice(self) -> None:
        planned = self._planned
        assert planned is not None  # or its timer had been cancelled
        planned.call_at(planned.at, lambda: self.timer.run(self._end))
        self.keepalive._reconnect_after = planned.reconnect_after
        self.keepalive._tell_page()
        self.timer.run(lambda: self._report.ending(planned.at))

    def _end(self) -> None:
        """Close the connection as planned."""
        planned = self._planned
        assert planned is not None  # or its timer had been cancelled
        timeout = min(self.keepalive.close_timeout, max(SHORTEST, planned.left()))
        if self._close(Step.ENDED, planned.why, timeout):
            self.keepalive._ended = planned.why.reason
            self._report.closed()

    # Failing the connection (RFC 6455 7.1.7).

    def _judge(self, ping: Ping, now: float, traffic: Traffic) -> None:
        """The Pong that answers a Ping is overdue."""
        judged = self._heartbeat.judge(ping, traffic, now)
        if isinstance(judged, Verdict):
            self._fail(judged)
        else:
            self._report.put_off(ping.payload, judged.until - now, judged.why)

    def _fail(self, verdict: Verdict) -> None:
        """Fail the connection and release the application at once."""
        if self._close(Step.FAILED, TIMED_OUT, self.keepalive.close_timeout, verdict):
            self._report.failed(verdict, self.keepalive.latency)
            self._report.closed()

    def _close(self, step: Step, why: Why, timeout: float, verdict: Verdict | None = None) -> bool:
        """Close the connection and release the application; return whether it was still open."""
        try:
            self._levels.fail(why.code, why.reason, timeout)
        except OSError:  # it is closing for another reason, which the server tells
            self.on_closing()
            return False
        except RAISED:
            logger.exception("%s: the server cannot fail the connection", self._report)
        self._go(step)
        self._unplan()
        self.disconnect = {
            "type": "websocket.disconnect",
            "code": why.code,
            "reason": why.reason,
        }
        self.keepalive._verdict = verdict
        self._end_heartbeat(self.keepalive._closed_error)
        for call in self.waiting or ():
            call.release()
        return True

    def end_error(self) -> KeepaliveTimeout | Disconnected:
        """Return what `send` raises once the connection has been failed, or ended as planned."""
        if self.state is State.FAILED:
            return KeepaliveTimeout(self.keepalive)
        return Disconnected()
