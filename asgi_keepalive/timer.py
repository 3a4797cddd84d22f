"""The one timer of a connection."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from math import inf

from .crowd import Crowd, Sleep
from .stall import INTERVAL

TURNS = 5
"""After so many turns of the event loop a sender knows that its connection is lost."""


class Timer:
    """Calls back at the time that was asked for last, or before.

    Attributes:
        at: When it fires at the latest, in monotonic seconds; infinity if never.
        crowd: What it shares with the timers of its event loop, between `start` and `stop`.
        has_deadline: Whether the stalls of the event loop are watched for it.
        ping_at: For when the next Ping is planned; infinity if for never.
        turn_due: When the loop should have turned, while there is no crowd to say it.
    """

    __slots__ = (
        "_callback",
        "_context",
        "_interval",
        "_sleeps",
        "at",
        "crowd",
        "has_deadline",
        "ping_at",
        "turn_due",
    )

    def __init__(self) -> None:
        self.at = inf
        self.crowd: Crowd | None = None
        self.ping_at = inf
        self.turn_due = time.monotonic() + INTERVAL
        self._callback: Callable[[], None] | None = None
        self._context: contextvars.Context | None = None
        self.has_deadline = False
        self._interval: float | None = None
        self._sleeps: Sleep | None = None

    def start(self, callback: Callable[[], None]) -> None:
        """Call `callback` from now on, in the context of the caller."""
        self.crowd = Crowd.join(asyncio.get_running_loop())
        self._callback = callback
        self._context = contextvars.copy_context()

    def stop(self) -> None:
        """Stop calling back."""
        if self.crowd is None:
            return
        self._forget()
        if self.has_deadline:
            self.watch_stalls(False)
        self.plan(inf, None)
        self.crowd.leave()
        self.crowd = self._callback = self._context = None

    def plan(self, ping_at: float, interval: float | None) -> float:
        """Plan the next Ping for that time or another; return for when it is planned.

        Args:
            ping_at: Monotonic seconds; infinity for no Ping.
            interval: Seconds from the last one to that time; `None` if there are none.
        """
        assert self.crowd is not None  # nothing is planned before `start`, nor after `stop`
        phases = self.crowd.phases
        if self.ping_at < inf:
            phases.unplan(self.ping_at)
        if interval != self._interval:
            if self._interval is not None:
                phases.leave(self._interval)
            if interval is not None:
                phases.join(interval)
            self._interval = interval
        self.ping_at = ping_at
        if interval is not None and ping_at < inf:
            self.ping_at = phases.plan(ping_at, interval)
        return self.ping_at

    def watch_stalls(self, has_deadline: bool) -> None:
        """Have the stalls of the event loop watched, as there is a deadline, or no more."""
        self.has_deadline = has_deadline
        assert self.crowd is not None  # there are no deadlines before `start`, nor after `stop`
        if has_deadline:
            self.crowd.watch.begin()
        else:
            self.crowd.watch.end()

    def set(self, at: float, rather_at: float) -> None:
        """Call back at `at`; at `rather_at` if that is before it and still to come."""
        if self.at <= at:
            return
        self._forget()
        now = time.monotonic()
        if now < rather_at < at:
            at = rather_at
        self.at = at if at > now else now
        assert self.crowd is not None  # nothing asks for a time before `start`, nor after `stop`
        self._sleeps = self.crowd.sleep(self, self.at, now)

    def _forget(self) -> None:
        """Have no timer any more."""
        if self._sleeps is not None:
            assert self.crowd is not None  # or there is no timer
            self.crowd.forget(self, self._sleeps)
        self.at, self._sleeps = inf, None

    def wake(self) -> None:
        """It is time to call back."""
        assert self._callback is not None  # nobody is woken who has been forgotten
        self.run(self._callback)

    def run(self, callback: Callable[[], None]) -> None:
        """Call something in the context of whoever called `start`, until `stop`."""
        if self._context is None:
            callback()
        else:
            self._context.run(callback)

    def fired(self, now: float) -> float:
        """Take note that it has fired; return for how long the event loop stood still."""
        due, self.at, self._sleeps = self.at, inf, None
        assert self.crowd is not None  # nobody is woken who has been forgotten
        return self.crowd.watch.stall(now, due)

    async def turn_if_due(self) -> None:
        """Let the event loop turn, if it has not for too long.

        A call of the server may return without waiting. So does `send`, for one, after a reset of
        which the loop has yet to tell. An application that repeats it would never let the loop
        tell, nor do anything else.
        """
        crowd = self.crowd
        if time.monotonic() > (self if crowd is None else crowd).turn_due:
            await self.turn()

    async def turn(self) -> None:
        """Let the event loop turn, unless it has been seen to turn by itself."""
        if self.crowd is not None and self.crowd.has_turned():
            return
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self.turn_due = time.monotonic() + INTERVAL
