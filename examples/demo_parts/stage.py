"""The clock and the screen of both servers."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from . import WORK
from .screen import Screen


class Event(NamedTuple):
    """An event, and how many seconds after the start it came."""

    what: str
    at: float


class Stage:
    """Where both servers play at the same time.

    Attributes:
        together: Each server waits here for the other.
    """

    def __init__(self, screen: Screen, servers: int) -> None:
        self.together = asyncio.Barrier(servers)
        self._screen = screen
        self._began: float | None = None

    def start(self) -> None:
        """Start the clock, unless the other server has."""
        if self._began is None:
            self._began = time.monotonic()
            self.say("both", "silent", "answers nothing from now on")
            self.say("both", "frozen", "reads nothing from now on")
            self.say("both", "busy", f"sends two messages; the handler works {WORK:g} s on each")

    def seconds(self) -> float:
        """Return the time since the start."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def say(self, server: str, client: str, what: str) -> None:
        """Show an event; before the start there is none."""
        if self._began is not None:
            self._screen.event(self.seconds(), server, client, what)
