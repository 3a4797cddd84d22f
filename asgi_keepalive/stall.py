"""Noticing that the event loop stood still.

A deadline that passes while the loop is blocked must not condemn a peer whose Pong waits in the
kernel, perhaps behind megabytes. How late the deadline's own timer fires is not enough to know:
a stall of a second may end a millisecond after the deadline, or just before it. So, as long as
any connection has a heartbeat, one timer per loop looks at the clock.
"""

from __future__ import annotations

import asyncio
import time
from math import inf

INTERVAL = 0.05
"""Seconds from one look at the clock to the next."""

NOTICED = 0.005
"""A look that is late by less than this, in seconds, is the ordinary business of a loop."""


class StallWatch:
    """Watches one event loop for the connections that share it."""

    __slots__ = ("_caught_up_at", "_due", "_loop", "_members", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._members = 0
        self._caught_up_at = -inf
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

    def caught_up_at(self, now: float, due: float = inf) -> float:
        """When the loop will have had as long to catch up as it last stood still.

        Args:
            now: Monotonic seconds.
            due: When the caller's own timer should have fired.
        """
        late = now - min(due, self._due)
        if late > NOTICED:
            self._caught_up_at = max(self._caught_up_at, now + late)
        return self._caught_up_at

    def _look(self) -> None:
        self.caught_up_at(time.monotonic())
        self._look_again()

    def _look_again(self) -> None:
        self._due = time.monotonic() + INTERVAL
        self._timer = self._loop.call_later(INTERVAL, self._look)


_watches: dict[asyncio.AbstractEventLoop, StallWatch] = {}
