"""The one timer of a connection, and the watch over the event loop's stalls.

A deadline that passes while the loop is blocked must not condemn a peer whose Pong waits in the
kernel, perhaps behind megabytes. How late the deadline's own timer fires is not enough to know:
a stall of a second may end a millisecond after the deadline, or just before it. So, as long as
any connection has a heartbeat, one timer per loop looks at the clock.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
from collections.abc import Callable
from math import inf

INTERVAL = 0.05
"""Seconds from one look at the clock to the next."""

TURNS = 5
"""After so many turns of the event loop a sender knows that its connection is lost."""


def ordinary_lateness() -> float:
    """Return how late a timer may be, in seconds, while nothing is wrong: two ticks at least."""
    # Windows ends waits on ticks of 1/64 s. Its clock is finer than that since Python 3.13.
    windows = sys.platform == "win32"
    tick = 1 / 64 if windows else time.get_clock_info("monotonic").resolution
    return max(0.005, 2 * tick)


NOTICED = ordinary_lateness()
"""A look that is late by less than this, in seconds, is the ordinary business of a loop."""


class StallWatch:
    """Watches one event loop for the connections that share it.

    Attributes:
        context: An empty context for timers, which otherwise keep the context of a connection.
        turn_due: When the loop should have turned; a call that comes later should let it turn.
    """

    __slots__ = (
        "_due",
        "_loop",
        "_members",
        "_recovered_at",
        "_stood_still",
        "_timer",
        "context",
        "turn_due",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.context = contextvars.Context()
        self._members = 0
        self._recovered_at = -inf
        self._stood_still = 0.0
        self._look_again()

    @classmethod
    def join(cls, loop: asyncio.AbstractEventLoop) -> StallWatch:
        """Return the loop's watch, started if need be; the caller must `leave` it."""
        watch = _watches.get(loop)
        if watch is None:
            watch = _watches[loop] = cls(loop)
        watch._members += 1
        return watch

    def leave(self) -> None:
        """Leave the watch; the last connection stops it."""
        self._members -= 1
        if not self._members:
            self._timer.cancel()
            del _watches[self._loop]

    def stall(self, now: float, due: float = inf) -> float:
        """Return for how long the loop last stood still, in seconds; 0 once it has recovered.

        It takes as long to recover as it stood still. A deadline that passes meanwhile is to be
        postponed by as long, rather than until then: thousands of them would come all at once.

        Args:
            now: Monotonic seconds.
            due: When the caller's own timer should have fired.
        """
        late = now - (due if due < self._due else self._due)
        if late > NOTICED and now + late > self._recovered_at:
            self._recovered_at = now + late
            self._stood_still = late
        return self._stood_still if now < self._recovered_at else 0.0

    def _look(self) -> None:
        self.stall(time.monotonic())
        self._look_again()

    def _look_again(self) -> None:
        self._due = self.turn_due = time.monotonic() + INTERVAL
        self._timer = self._loop.call_later(INTERVAL, self._look, context=self.context)


_watches: dict[asyncio.AbstractEventLoop, StallWatch] = {}


class Timer:
    """Calls back at the time that was asked for last, or before.

    Attributes:
        at: When it fires, in monotonic seconds; infinity if never.
        watch: The stall watch of the event loop, between `start` and `stop`.
        turn_due: When the loop should have turned, while there is no watch to say it.
    """

    __slots__ = ("_callback", "_context", "_enter", "_loop", "_timer", "at", "turn_due", "watch")

    def __init__(self) -> None:
        self.at = inf
        self.watch: StallWatch | None = None
        self.turn_due = time.monotonic() + INTERVAL
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._callback: Callable[[], None] | None = None
        self._context: contextvars.Context | None = None
        self._enter: Callable[[], None] | None = None

    def start(self, callback: Callable[[], None]) -> None:
        """Call `callback` from now on, in the context of the caller."""
        self.watch = StallWatch.join(self._loop)
        self._callback = callback
        self._context = contextvars.copy_context()
        # It is made once, not for each timer. Thousands of connections would make a new one at each
        # Ping, and the garbage collector would look at all of them.
        self._enter = self._fire

    def stop(self) -> None:
        """Stop calling back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.watch is not None:
            self.watch.leave()
            self.watch = None
        self.at = inf
        self._callback = self._context = self._enter = None

    def set(self, at: float, rather_at: float) -> None:
        """Call back at `at`; at `rather_at` if that is before it and still to come."""
        if self.at <= at:
            return
        if self._timer is not None:
            self._timer.cancel()
        now = time.monotonic()
        if now < rather_at < at:
            at = rather_at
        self.at = at if at > now else now
        # Nothing asks for a time before `start`, nor after `stop`.
        assert self._enter is not None
        assert self.watch is not None
        # An event loop keeps the context of a timer that has been cancelled until it would have
        # fired: the application's would be kept for as long.
        context = self.watch.context
        self._timer = self._loop.call_later(self.at - now, self._enter, context=context)

    def _fire(self) -> None:
        assert self._context is not None  # the timer is cancelled when it is given up
        assert self._callback is not None
        self._context.run(self._callback)

    def fired(self, now: float) -> float:
        """Take note that it has fired; return for how long the event loop stood still."""
        due, self.at, self._timer = self.at, inf, None
        assert self.watch is not None  # the timer is cancelled when it is given up
        return self.watch.stall(now, due)

    async def turn_if_due(self) -> None:
        """Let the event loop turn, if it has not for too long.

        A call of the server may return without waiting. So does `send`, for one, after a reset of
        which the loop has yet to tell. An application that repeats it would never let the loop
        tell, nor do anything else.
        """
        watch = self.watch
        if time.monotonic() > (self if watch is None else watch).turn_due:
            await self.turn()

    async def turn(self) -> None:
        """Let the event loop turn."""
        if self.watch is not None:
            self.watch.turn_due = inf  # until it looks again, in the next turn; one is enough
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self.turn_due = time.monotonic() + INTERVAL
