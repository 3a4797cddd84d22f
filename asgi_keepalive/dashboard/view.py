"""The open connections of this process, in an order that all who look at the dashboard share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from ..observers.live import Failure, LiveConnection, LiveConnections
from . import telling
from .query import Query

if TYPE_CHECKING:
    from ..observers.shared import SharedConnection

EVERY = 1.0
"""Many connections are sorted at most once in so many seconds, however many look."""

FEW = 1000
"""Fewer than these are sorted for each request."""

STEP = 500
"""So many connections are searched before others have their turn."""


T = TypeVar("T", bound="LiveConnection | SharedConnection")


class View:
    """The open connections, slowest first.

    Args:
        connections: The connections.

    Attributes:
        late: How many of them were late.
        unsupported: How many of them have no keepalive.
        trouble: Why they are not those of all processes, though they should be.
    """

    def __init__(self, connections: LiveConnections) -> None:
        self._connections = connections
        self._sorted: list[LiveConnection] = []
        self._sorted_at = float("-inf")
        self.late = 0
        self.unsupported = 0
        self.trouble: str | None = None

    async def now(self) -> View:
        """Return itself, as it is now."""
        self._refresh()
        return self

    def totals(self) -> telling.Entry:
        """Return the entries about all that are open."""
        total = len(self._connections)
        return {
            "shared": False,
            "trouble": self.trouble,
            "processes": [telling.own_process(self._connections, self.late, self.unsupported)],
            **{"total": total, "late": self.late, "unsupported": self.unsupported, "read": total},
        }

    def failures(self) -> Sequence[Failure]:
        """Return the last failures, the last of them last."""
        return self._connections.failures

    async def select(self, query: Query) -> list[LiveConnection]:
        """Return the connections that a query selects."""
        if query.process not in ("", telling.own()["process"]):
            return []
        if query.number is not None:
            found = self._connections.find(query.number)
            return [] if found is None else [found]
        if query.selects_all:
            return self._sorted
        return await searched(self._sorted, query)

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._sorted_at < EVERY and len(self._connections) >= FEW:
            return
        self._sorted_at = now
        self._sorted = self._connections.slowest_first()
        self.late = _late(self._sorted)
        self.unsupported = sum([not one.keepalive.supported for one in self._sorted])


async def searched(everything: Sequence[T], query: Query) -> list[T]:
    """Return those of the connections that a query selects by their state and the text."""
    selected: list[T] = []
    for start in range(0, len(everything), STEP):
        selected += filter(query.selects, everything[start : start + STEP])
        await asyncio.sleep(0)
    return selected


def _late(slowest_first: list[LiveConnection]) -> int:
    late = 0
    for connection in slowest_first:
        if connection.slowness <= 1:  # no Pong is late before that, and the others are faster
            break
        late += connection.is_late
    return late
