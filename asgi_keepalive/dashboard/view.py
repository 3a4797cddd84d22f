"""The order of the open connections, which all who look at the dashboard share."""

from __future__ import annotations

import asyncio
import time

from ..observers.live import LiveConnection, LiveConnections
from .query import Query

EVERY = 1.0
"""Many connections are sorted at most once in so many seconds, however many look."""

FEW = 1000
"""Fewer than these are sorted for each request."""

STEP = 500
"""So many connections are searched before others have their turn."""


class View:
    """The open connections, slowest first.

    Args:
        connections: The connections.

    Attributes:
        late: How many of them were late.
        unsupported: How many of them have no keepalive.
    """

    def __init__(self, connections: LiveConnections) -> None:
        self._connections = connections
        self._sorted: list[LiveConnection] = []
        self._sorted_at = float("-inf")
        self.late = 0
        self.unsupported = 0

    async def select(self, query: Query) -> list[LiveConnection]:
        """Return the connections that a query selects."""
        self._refresh()
        if query.number is not None:
            found = self._connections.find(query.number)
            return [] if found is None else [found]
        if query.selects_all:
            return self._sorted
        everything = self._sorted
        selected: list[LiveConnection] = []
        for start in range(0, len(everything), STEP):
            selected += filter(query.selects, everything[start : start + STEP])
            await asyncio.sleep(0)
        return selected

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._sorted_at < EVERY and len(self._connections) >= FEW:
            return
        self._sorted_at = now
        self._sorted = self._connections.slowest_first()
        self.late = _late(self._sorted)
        self.unsupported = sum([not one.keepalive.supported for one in self._sorted])


def _late(slowest_first: list[LiveConnection]) -> int:
    late = 0
    for connection in slowest_first:
        if connection.slowness <= 1:  # no Pong is late before that, and the others are faster
            break
        late += connection.is_late
    return late
