"""Planned ends: a connection is closed at a time that is known before.

`max_age` plans one for each connection, and a drain of `drain.py` for all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from math import inf
from typing import NamedTuple


class Why(NamedTuple):
    """The code and the reason of a Close frame (RFC 6455 7.4)."""

    code: int
    reason: str


MAX_AGE = Why(1001, "max age")
RESTART = Why(1012, "service restart")
WHYS = (MAX_AGE, RESTART)

LEAD = 0.05
"""Seconds in which a page, or an observer, is told of an end that is to be at once."""

SHORTEST = 0.1
"""Seconds that a Close frame has to get out, however late it is."""

YOUNGEST = 0.9
"""A connection reaches this share of its `max_age`, and ends before all of it is over."""


class PlannedEnd:
    """The planned end of one connection: notice is given, and at last it is closed.

    Args:
        at: When it is to be closed, in monotonic seconds.
        why: What its Close frame tells.
        reconnect_after: So many seconds later a page may come back.
        left: Tells in how many seconds TCP has to be gone at the latest.
    """

    __slots__ = ("_timer", "at", "left", "reconnect_after", "why")

    def __init__(
        self,
        at: float,
        why: Why,
        reconnect_after: float = 0.0,
        left: Callable[[], float] = lambda: inf,
    ) -> None:
        self.at = at
        self.why = why
        self.reconnect_after = reconnect_after
        self.left = left
        self._timer: asyncio.TimerHandle | None = None

    def call_at(self, at: float, callback: Callable[[], None]) -> None:
        """Call back at that time, in monotonic seconds, and at no other."""
        self.cancel()
        delay = max(0.0, at - time.monotonic())
        # An event loop may keep the context of a cancelled timer for as long as it would have run.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(delay, callback, context=Context())

    def cancel(self) -> None:
        """Call back no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
