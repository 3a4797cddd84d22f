"""Noticing that the event loop stood still.

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
from math import inf

INTERVAL = 0.05
"""Seconds from one look at the clock to the next."""


def ordinary_lateness() -> float:
    """Return how late a timer may be, in seconds, while nothing is wrong: two ticks at least."""
    # Windows ends waits on ticks, of which its clock has known nothing since Python 3.13.
    windows = sys.platform == "win32"
    tick = 1 / 64 if windows else time.get_clock_info("monotonic").resolution
    return max(0.005, 2 * tick)


NOTICED = ordinary_lateness()
"""A look that is late by less than this, in seconds, is the ordinary business of a loop."""


class StallWatch:
    """Watches one event loop for the connections that share it.

    Attributes:
        turn_due: When the loop is to turn; a call that comes later should let it.
    """

    __slots__ = (
        "_caught_up_at",
        "_due",
        "_loop",
        "_members",
        "_stood_still",
        "_timer",
        "context",
        "turn_due",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.context = contextvars.Context()
        """An empty one for timers, which would keep that of the connection that sets them."""
        self._members = 0
        self._caught_up_at = -inf
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
        """One connection less; the last one stops the watch."""
        self._members -= 1
        if not self._members:
            self._timer.cancel()
            del _watches[self._loop]

    def grace(self, now: float, due: float = inf) -> float:
        """For how long the loop last stood still, in seconds, and 0 once it has caught up.

        It has as long to catch up as it stood still. A deadline that passes meanwhile is to be put
        off by as long, rather than until then: thousands of them would then come all at once.

        Args:
            now: Monotonic seconds.
            due: When the caller's own timer should have fired.
        """
        late = now - (due if due < self._due else self._due)
        if late > NOTICED and now + late > self._caught_up_at:
            self._caught_up_at = now + late
            self._stood_still = late
        return self._stood_still if now < self._caught_up_at else 0.0

    def _look(self) -> None:
        self.grace(time.monotonic())
        self._look_again()

    def _look_again(self) -> None:
        self._due = self.turn_due = time.monotonic() + INTERVAL
        self._timer = self._loop.call_later(INTERVAL, self._look, context=self.context)


_watches: dict[asyncio.AbstractEventLoop, StallWatch] = {}
