"""The exit of a worker of gunicorn's.

By itself a worker leaves its connections alone for `graceful_timeout`. The arbiter kills it when
that has passed, and began to count up to a second before the worker noticed: the kernel keeps what
a client has not read, and no application is told. So the connections close in time for that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

LOOK = 0.05
"""Seconds between two looks at which connections have to close, and whether all have gone."""

REST = 0.5
"""Seconds that a worker needs for its exit once its connections have gone."""

LEAST = 0.2
"""Seconds for the Close frames, however late it is."""

QUICK = 1.0
"""Seconds for the connections if gunicorn was told to exit at once."""

logger = logging.getLogger("asgi_keepalive")


class Connection(Protocol):
    """A connection that has to end when its worker exits.

    Attributes:
        close_timeout: Seconds that its close may take.
    """

    @property
    def close_timeout(self) -> float: ...
    def hurry(self) -> None: ...
    def announce_exit(self, grace: float) -> bool: ...
    def exit(self) -> None: ...
    def abort(self) -> None: ...


class Exit:
    """Takes the place of a worker's `_shutdown`.

    Attributes:
        connections: The worker's connections that are not lost.
    """

    def __init__(self, worker: Any) -> None:
        self.connections: set[Connection] = set()
        self._announced: set[Connection] = set()
        self._shutdown = worker._shutdown
        self._worker = worker

    async def __call__(self) -> None:
        now = time.monotonic()
        # When the worker last looked, the arbiter had not begun to count.
        killed = self._worker.tmp.last_update() + self._worker.cfg.graceful_timeout
        _each(self.connections, lambda connection: connection.hurry())
        shutdown = asyncio.create_task(self._shutdown())
        end = max(now + LEAST, killed - REST)
        if not self._worker._quick_shutdown:  # there is no time for others to close
            _each(self.connections, lambda connection: self._announce(connection, end - now))
        await self._close(now, end, shutdown)
        await shutdown

    def _announce(self, connection: Connection, grace: float) -> None:
        if connection.announce_exit(grace):
            self._announced.add(connection)

    async def _close(self, now: float, end: float, shutdown: asyncio.Task[None]) -> None:
        """Close each connection as late as its close allows; return when nothing of them is left.

        Args:
            now: The time.
            end: When the last connection has to be gone.
            shutdown: The worker's own shutdown, which ends early if nothing is left.
        """
        half = (now + end) / 2  # which is the applications', whatever their `close_timeout`
        closing: set[Connection] = set()
        is_quick = False
        while now < end and (self.connections or not shutdown.done()):
            if self._worker._quick_shutdown and not is_quick:
                is_quick, end = True, min(end, now + QUICK)
                self._announced.clear()
            waiting = self.connections - closing - self._announced
            due = {one for one in waiting if is_quick or now >= max(half, end - one.close_timeout)}
            _each(due, lambda connection: connection.exit())
            closing |= due
            if self.connections:
                self._worker.notify()  # the arbiter kills what looks dead
            await asyncio.sleep(LOOK)
            now = time.monotonic()
        _each(self.connections, lambda connection: connection.abort())


def _each(connections: Iterable[Connection], call: Callable[[Connection], None]) -> None:
    """Call something for each connection, whatever becomes of the others."""
    for connection in list(connections):
        try:
            call(connection)
        except Exception:
            logger.exception("gunicorn exits, and a connection cannot be closed")


def exit_of(worker: Any) -> Exit:
    """Return what has taken the place of a worker's `_shutdown`, from now on."""
    if type(worker._shutdown) is not Exit:
        worker._shutdown = Exit(worker)
    shutdown: Exit = worker._shutdown
    return shutdown
