"""Spreading the Pings of one event loop, so that a crowd of connections does not move in step.

What connects at once, or is held up at once by a stall, would be pinged at once for ever after.
So it is counted how many Pings are planned in each slot of time. In a crowd a Ping is planned for
the beginning of its slot, or of a part of it, or if that is full, for another slot. Its connection
then keeps the new phase, as the next Ping is due an interval later. A few connections are left
alone.
"""

from __future__ import annotations

import random

WIDTH = 0.02
"""Seconds that a slot lasts."""

PARTS = 4
"""A slot with many Pings has so many parts. What is pinged together, times out together."""

ENOUGH = 40
"""So many Pings at once are enough: more of them would spare next to nothing."""

NEAR = 0.4
"""A Ping that is due within so many seconds goes no earlier, so no wait is cut by over 5 %."""

CROWD = 16
"""So many connections that are pinged make a crowd."""

EARLIEST, LATEST = 0.55, 1.2
"""A Ping that is moved comes within these shares of its interval.

One that is too late is a danger on paths with an idle limit; one that is early costs little.
"""

TRIALS = 16
"""So many other slots are looked at, at most."""

FULL = 1.1
"""A slot takes so many times its share of the Pings."""

BEGIN = 0.1
"""The beginning of a slot: not its very first moment, as a timer may be a little early."""


class Phases:
    """Plans when the connections of one event loop are pinged.

    Attributes:
        are_many: Whether a slot has so many Pings that its parts are pinged apart.
    """

    __slots__ = ("_connections", "_full", "_mean", "_part", "_planned", "_random", "are_many")

    def __init__(self) -> None:
        self._connections = 0
        self._full = 1.0  # a slot with so many Pings takes no more
        self._mean = 0.0  # Pings a slot, were they spread evenly
        self._part = ENOUGH  # Pings in a part of a slot
        self._planned: dict[float, int] = {}  # Pings by slot
        self.are_many = False
        self._random = random.Random()  # an application may seed the one that is shared

    def join(self, interval: float) -> None:
        """One connection more is pinged, at this interval in seconds."""
        self._change(1, WIDTH / interval)

    def leave(self, interval: float) -> None:
        """One connection less is."""
        self._change(-1, -WIDTH / interval)

    def _change(self, connections: int, mean: float) -> None:
        self._connections += connections
        self._mean += mean
        self._full = max(1, FULL * self._mean - 0.5)
        self._part = max(ENOUGH, int(self._full / PARTS) + 1)
        self.are_many = self._full > ENOUGH

    def plan(self, at: float, interval: float) -> float:
        """Plan a Ping for about that time; return for when it is planned, in monotonic seconds."""
        planned = self._planned
        if self._connections >= CROWD:
            if planned.get(at // WIDTH, 0) >= self._full:
                at = self._elsewhere(at, interval)
            if interval >= NEAR:
                at = self._together(at)
        slot = at // WIDTH
        planned[slot] = planned.get(slot, 0) + 1
        return at

    def unplan(self, at: float) -> None:
        """Forget the Ping that was planned for that time: it has been sent, or is given up."""
        slot = at // WIDTH
        others = self._planned[slot] - 1
        if others:
            self._planned[slot] = others
        else:
            del self._planned[slot]

    def _together(self, at: float) -> float:
        """Return the time at which the slot, or the part of it that is not full, is pinged."""
        slot = at // WIDTH
        part = min(self._planned.get(slot, 0) // self._part, PARTS - 1)
        return min((slot + BEGIN + part / PARTS) * WIDTH, at + WIDTH)  # an interval may be huge

    def _elsewhere(self, at: float, interval: float) -> float:
        """Return a time in a slot with less than its share, or in the emptiest that is found."""
        begin = at - interval
        least = self._planned[at // WIDTH]
        for _ in range(TRIALS):
            other = begin + interval * self._random.uniform(EARLIEST, LATEST)
            count = self._planned.get(other // WIDTH, 0)
            if count < least:
                at, least = other, count
                if count < self._mean:
                    break
        return at
