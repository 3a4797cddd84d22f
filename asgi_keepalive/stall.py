"""The watch over the event loop's stalls.

A deadline that passes while the loop is blocked must not condemn a peer whose Pong waits in the
kernel, perhaps behind megabytes. How late the deadline's own timer fires is not enough to know:
a stall of a second may end a millisecond after the deadline, or just before it. So, as long as
any Pong is awaited that has a deadline, one timer per loop looks at the clock.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
from math import inf

INTERVAL = 0.05
"""Seconds from one look at the clock to the next."""


def ordinary_lateness() -> float:
    """Return how late a timer may be, in seconds, while nothing is wrong: two ticks at least."""
    # Windows ends waits on ticks of 1/64 s. Its clock is finer than that since Python 3.13.
    windows = sys.platform == "win32"
    tick = 1 / 64 if windows else time.get_clock_info("monotonic").resolution
    return max(0.005, 2 * tick)


NOTICED = ordinary_lateness()
"""A look that is late by less than this, in seconds, is the ordinary business of a loop."""


class StallWatch:
    """Watches one event loop for the connections that share it, while any has a deadline.

    Args:
        loop: The event loop.
        context: The context of its timer.
    """

    __slots__ = (
        "_context",
        "_deadlines",
        "_due",
        "_loop",
        "_recovered_at",
        "_stood_still",
        "_timer",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        self._context = context
        self._deadlines = 0  # so many connections have one
        self._due = inf  # the next look
        self._loop = loop
        self._recovered_at = -inf
        self._stood_still = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Watch for one connection more."""
        self._deadlines += 1
        if self._timer is None:
            self._look_again()

    def end(self) -> None:
        """Watch for one connection less; the last one stops the looks."""
        self._deadlines -= 1
        if not self._deadlines:
            assert self._timer is not None
            self._timer.cancel()
            self._timer = None
            self.stall(time.monotonic())  # the last Pong may have come behind one
            self._due = inf

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
        self._due = time.monotonic() + INTERVAL
        self._timer = self._loop.call_later(INTERVAL, self._look, context=self._context)
