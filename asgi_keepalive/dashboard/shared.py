"""The open connections of all processes, read once a second for all who look at the dashboard."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

from ..exceptions import KeepaliveError
from . import telling
from .query import Query
from .view import EVERY, View, searched

if TYPE_CHECKING:
    from ..observers.shared import (
        SharedConnection,
        SharedConnections,
        SharedFailure,
        SharedProcess,
    )

MOST = 3000
"""If more connections than these are open, so many are read: of each process its share."""

PAGE = 100
"""So many are read at a time."""

PATIENCE = 2.5
"""A request waits for Redis for so many seconds at most."""

KEPT = 10.0
"""What has been read is shown for so many seconds, if Redis cannot be read any more."""

ALONE = "this is the process that answers, alone"
NO_ANSWER = f"Redis has not answered yet; {ALONE}"


class SharedView:
    """Reads the connections in a task, which no request waits for once Redis is away.

    Args:
        shared: The connections.
    """

    def __init__(self, shared: SharedConnections) -> None:
        self._shared = shared
        self._own = View(shared.live)
        self._own.trouble = NO_ANSWER
        self._snapshot: Snapshot | None = None
        self._is_away = False
        self._reading: asyncio.Task[None] | None = None
        self._read_at = self._begun_at = float("-inf")

    async def now(self) -> View | Snapshot:
        """Return all that are open; while Redis is away, after a while those of this process."""
        reading = self._begin()
        if reading is not None and not self._is_away:
            await asyncio.wait([reading], timeout=PATIENCE)
        if self._snapshot is not None and time.monotonic() - self._read_at < KEPT:
            return self._snapshot
        return await self._own.now()

    def _begin(self) -> asyncio.Task[None] | None:
        """Begin to read, unless that was done lately; return the task of it."""
        loop = asyncio.get_running_loop()
        reading = self._reading
        if reading is not None and not reading.done() and reading.get_loop() is loop:
            return reading
        now = time.monotonic()
        if now - self._begun_at < EVERY:
            return None
        self._begun_at = now
        self._reading = loop.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(KEPT):
                self._snapshot = await read(self._shared)
        except Exception as error:  # whatever it is, the page says so
            self._is_away = True
            why = str(error).rstrip(".") or f"Redis did not tell all within {KEPT:g} s"
            self._own.trouble = f"{why}; {ALONE}"
            if self._snapshot is not None:
                trouble = f"{why}; this is its last answer"
                self._snapshot = replace(self._snapshot, trouble=trouble)
        else:
            self._is_away = False
            self._own.trouble = NO_ANSWER
            self._read_at = time.monotonic()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read of the connections of all processes.

    Attributes:
        shared: These connections, to read more of them.
        processes: All processes.
        last_failures: The last failures, the last of them last.
        slowest_first: The connections that were read.
        is_part: Whether there are more of them.
        trouble: Why it could not be read again.
    """

    shared: SharedConnections
    processes: list[SharedProcess]
    last_failures: list[SharedFailure]
    slowest_first: list[SharedConnection]
    is_part: bool
    trouble: str | None = None

    def totals(self) -> telling.Entry:
        """Return the entries about all that are open."""
        total = sum(one.open for one in self.processes)
        return {
            "shared": True,
            "trouble": self.trouble,
            "processes": [dataclasses.asdict(one) for one in self.processes],
            "total": total,
            "late": sum(one.late for one in self.processes),
            "unsupported": sum(one.unsupported for one in self.processes),
            "read": len(self.slowest_first) if self.is_part else total,
        }

    def failures(self) -> Sequence[SharedFailure]:
        """Return the last failures, the last of them last."""
        return self.last_failures

    async def select(self, query: Query) -> list[SharedConnection]:
        """Return the connections that a query selects, of those that were read."""
        if query.number is not None or query.process:
            return await self._named(query)
        if query.selects_all:
            return self.slowest_first
        return await searched(self.slowest_first, query)

    async def _named(self, query: Query) -> list[SharedConnection]:
        """Return those of a process, of a number or both; that one need not have been read."""
        named = [
            one
            for one in self.slowest_first
            if query.process in ("", one.process) and query.number in (None, one.number)
        ]
        if not named and query.number is not None and self.is_part and query.process:
            with suppress(KeepaliveError):
                found = await self.shared.find(query.process, query.number)
                named = [] if found is None else [found]
        return await searched(named, query)


async def read(shared: SharedConnections) -> Snapshot:
    """Read the connections of all processes, or some of each if there are many.

    Raises:
        KeepaliveError: Redis does not answer.
    """
    processes = await shared.by_process()
    is_part = sum(one.open for one in processes) > MOST
    rows: list[SharedConnection] = []
    async for page in shared.pages(PAGE, most=MOST if is_part else None):
        rows += page
    failures = await shared.failures()  # the last, so that of one that has gone it is known why
    rows.sort(key=attrgetter("slowness"), reverse=True)
    return Snapshot(shared, processes, failures, rows, is_part)
