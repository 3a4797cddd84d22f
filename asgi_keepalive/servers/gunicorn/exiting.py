"""The exit of a worker of gunicorn's.

By itself a worker leaves its connections alone for `graceful_timeout`. Then it cancels what still
runs for them, and gives each a few seconds; whether the client gets a Close frame is chance.
uvloop cannot end with a connection open.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

LOOK = 0.05
"""Seconds between two looks at whether all connections have gone."""

QUICK = 1.0
"""Seconds that gunicorn waits if it was told to exit at once."""


class Connection(Protocol):
    """A connection that has to end when its worker exits."""

    def hurry(self) -> None: ...
    def exit(self) -> None: ...
    def abort(self) -> None: ...


class Exit:
    """Takes the place of a worker's `_shutdown`.

    Attributes:
        connections: Those that are there.
    """

    def __init__(self, worker: Any) -> None:
        self.connections: set[Connection] = set()
        self._shutdown = worker._shutdown
        self._worker = worker

    async def __call__(self) -> None:
        for connection in list(self.connections):
            connection.hurry()
        await self._shutdown()
        for connection in list(self.connections):
            connection.exit()
        waited = 0.0
        while self.connections and (waited < QUICK or not self._worker._quick_shutdown):
            await asyncio.sleep(LOOK)
            waited += LOOK
        for connection in list(self.connections):
            connection.abort()


def exit_of(worker: Any) -> Exit:
    """Return what has taken the place of a worker's `_shutdown`, from now on."""
    if type(worker._shutdown) is not Exit:
        worker._shutdown = Exit(worker)
    shutdown: Exit = worker._shutdown
    return shutdown
