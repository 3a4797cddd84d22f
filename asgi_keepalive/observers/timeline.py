"""The Pings, latencies and failures of a whole process in its last ten minutes."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque

from ..verdict import Verdict
from .metrics import BUCKETS

SLOT = 10
"""Events are counted together for so many seconds."""

SLOTS = 60
"""So many slots are kept."""


class Slot:
    """The events of some seconds.

    Attributes:
        start: When it began, by `time.monotonic()`.
        pings: How many Pings were written.
        latencies: How many round trips took up to each of `BUCKETS`; the last number is of those
            that took longer than all of them.
        failed: How many connections were failed, by the reason of their verdict.
    """

    __slots__ = ("failed", "latencies", "pings", "start")

    def __init__(self, start: float) -> None:
        self.start = start
        self.pings = 0
        self.latencies = [0] * (len(BUCKETS) + 1)
        self.failed: Counter[str] = Counter()


class Timeline:
    """Counts events by time, in constant memory; it can be read from any thread."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._slots: deque[Slot] = deque(maxlen=SLOTS)
        self._slot = Slot(0)
        self._end = 0.0  # of that slot

    def pinged(self) -> None:
        """Count a Ping."""
        now = time.monotonic()
        if now >= self._end:
            self._begin(now)
        self._slot.pings += 1

    def ponged(self, latency: float, now: float) -> None:
        """Count a round trip that has ended now."""
        if now >= self._end:
            self._begin(now)
        self._slot.latencies[bisect_left(BUCKETS, latency)] += 1

    def failed(self, verdict: Verdict) -> None:
        """Count a failure."""
        now = time.monotonic()
        if now >= self._end:
            self._begin(now)
        self._slot.failed[verdict.reason] += 1

    def _begin(self, now: float) -> None:
        start = now // SLOT * SLOT
        self._end = start + SLOT
        self._slot = Slot(start)
        self._slots.append(self._slot)

    @property
    def slots(self) -> list[Slot]:
        """The slots in which something happened, the oldest first."""
        oldest = time.monotonic() - SLOT * SLOTS
        return [slot for slot in self._slots.copy() if slot.start > oldest]

    @property
    def pings_per_second(self) -> float:
        """How many Pings were written a second, in this slot and the one before it."""
        now = time.monotonic()
        start = (now // SLOT - 1) * SLOT
        pings = sum(slot.pings for slot in self.slots if slot.start >= start)
        return pings / max(1.0, now - max(start, self._began))
