"""Draining: the connections of a middleware are closed one after another, not all at once.

All that have to come back at the same moment would be a burden to whoever takes them in.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from math import inf
from typing import Protocol
from weakref import WeakKeyDictionary

from .log import logger
from .planned import RESTART, PlannedEnd
from .settings import Settings
from .state import Keepalive
from .states import LIVING, State

EVERY = 1.0
"""Seconds between two lines of the log that tell of the progress."""

PIECE = 25
"""So many ends are planned before others have their turn."""

RESERVED = 0.25
"""The share of the server's grace that is left to the last who are closed, at most."""

REST = 0.2
"""Seconds before the end of the grace in which all have gone."""


class Member(Protocol):
    """A connection, as far as a drain needs it."""

    keepalive: Keepalive
    state: State

    def plan(self, end: PlannedEnd, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Draining:
    """The progress of a drain.

    Example::

        draining = middleware.draining
        if draining is not None:
            print(f"{draining.left} of {draining.total} connections are still open")

    Attributes:
        total: So many connections were open when it began, or have been accepted since.
        left: So many of them are still open.
        refused: So many handshakes have been refused.
        ends_at: When the last of them is closed at the latest, in seconds of `time.monotonic()`.
    """

    total: int
    left: int
    refused: int
    ends_at: float


class Group:
    """The connections of one middleware in one event loop, which can be drained.

    Args:
        settings: The middleware's.

    Attributes:
        refused: So many handshakes have been refused.
    """

    def __init__(self, settings: Settings) -> None:
        self.refused = 0
        self._abort_at = inf
        self._empty: asyncio.Event | None = None  # is awaited at the end of a drain
        self._ends_at: float | None = None  # of a drain
        self._members: set[Member] = set()
        self._random = random.Random()  # an application may seed the one that is shared
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self._total = 0
        self._window = 0.0

    @property
    def is_draining(self) -> bool:
        """Whether a drain has begun; it is for good."""
        return self._ends_at is not None

    @property
    def draining(self) -> Draining | None:
        """The progress of the drain, if one has begun."""
        if self._ends_at is None:
            return None
        return Draining(self._total, len(self._living), self.refused, self._ends_at)

    @property
    def _living(self) -> list[Member]:
        return [one for one in self._members if one.state in LIVING]

    @property
    def close_timeout(self) -> float:
        """How long a close may take."""
        return self._settings.close_timeout

    @property
    def seconds_left(self) -> float:
        """How long a drain still goes on."""
        return max(0.0, (self._ends_at or 0.0) - time.monotonic())

    def join(self, connection: Member) -> None:
        """One connection more; it may have begun its handshake before a drain that is going on."""
        self._members.add(connection)
        if self._ends_at is not None:
            self._total += 1
            self._plan(connection, self._random.uniform(time.monotonic(), self._ends_at))

    def leave(self, connection: Member) -> None:
        """The application of a connection has returned."""
        self._members.discard(connection)
        if self._empty is not None and not self._members:
            self._empty.set()

    def exit(self, grace: float) -> None:
        """The server exits: drain within the seconds that it leaves to its connections."""
        reserved = min(self.close_timeout, grace * RESERVED)
        self.begin(min(self._settings.drain_window or 0.0, grace - reserved), grace - REST)

    def begin(self, window: float, grace: float = inf) -> None:
        """Begin to drain, or drain faster.

        Args:
            window: The last connection is closed in so many seconds.
            grace: And gone in so many.
        """
        now = time.monotonic()
        self._abort_at = min(self._abort_at, now + grace)
        if self._ends_at is None:
            self._total = len(self._living)
        if self._ends_at is None or now + window < self._ends_at:
            self._ends_at, self._window = now + window, window
            if self._task is not None:
                self._task.cancel()
            self._task = asyncio.create_task(self._drain(now))
            self._task.add_done_callback(self._done)

    async def drained(self) -> None:
        """Wait until all have gone, or could have."""
        while (task := self._task) is not None:
            await asyncio.wait([task])

    async def _drain(self, began: float) -> None:
        await self._plan_all(began)
        await self._until_gone()

    async def _plan_all(self, began: float) -> None:
        waiting = self._living
        self._random.shuffle(waiting)
        if waiting:
            logger.info("draining %s over %s", _connections(len(waiting)), _seconds(self._window))
        for number, connection in enumerate(waiting):
            self._plan(connection, began + self._window * number / len(waiting))
            if number % PIECE == PIECE - 1:
                await asyncio.sleep(0)

    def _done(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = self._empty = None  # which would keep the event loop

    def _plan(self, connection: Member, at: float) -> None:
        # A grace that cuts the window short is no reason for pages to hurry.
        window = max(self._window, self._settings.drain_window or 0.0)
        reconnect_after = self._random.uniform(0, window)
        connection.plan(PlannedEnd(at, RESTART, reconnect_after, self._left))

    def _left(self) -> float:
        """In how many seconds all have to be gone."""
        return self._abort_at - time.monotonic()

    async def _until_gone(self) -> None:
        """Wait until all have gone, or could have; tell of the progress meanwhile."""
        timeouts = [one.keepalive.close_timeout for one in self._members]
        assert self._ends_at is not None  # as it has begun
        last = self._ends_at + max(timeouts, default=0.0)
        next_line = time.monotonic() + EVERY
        empty = self._empty = asyncio.Event()
        while self._members and (left := min(last, self._abort_at) + REST - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(min(left, next_line - time.monotonic())):
                    await empty.wait()
            except TimeoutError:
                if self._members and time.monotonic() >= next_line:
                    next_line = max(next_line, time.monotonic()) + EVERY
                    self._tell()
        if self._total:
            self._tell()

    def _tell(self) -> None:
        draining = self.draining
        assert draining is not None  # it has begun
        closed, total = draining.total - draining.left, draining.total
        if draining.left:
            logger.info(
                "draining: %s of %s are closed, the last will be in %s",
                *(f"{closed:,}", _connections(total), _seconds(self.seconds_left)),
            )
        elif self._members:
            logger.info(
                "draining: %s closed, applications that go on: %s",
                *(_connections(total), f"{len(self._members):,}"),
            )
        else:
            logger.info("drained: %s closed", _connections(total))


def _connections(count: int) -> str:
    return "1 connection" if count == 1 else f"{count:,} connections"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:,.0f} s"


class Groups:
    """The groups of one middleware, one for each event loop.

    Args:
        settings: The middleware's.
    """

    __slots__ = ("_groups", "_settings")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._groups: MutableMapping[asyncio.AbstractEventLoop, Group] = WeakKeyDictionary()

    @property
    def here(self) -> Group:
        """The group of the running event loop.

        Raises:
            RuntimeError: There is none of asyncio's.
        """
        loop = asyncio.get_running_loop()
        group = self._groups.get(loop)
        if group is None:
            group = self._groups[loop] = Group(self._settings)
        return group

    @property
    def draining(self) -> Group | None:
        """The group of the running event loop, if it is being drained."""
        if not self._groups:
            return None
        with contextlib.suppress(RuntimeError):  # the loop is none of asyncio's
            group = self.here
            if group.is_draining:
                return group
        return None
