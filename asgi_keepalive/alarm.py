"""The one timer of a connection, and whether the event loop stood still."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from math import inf

from .heartbeat import EARLY
from .stall import StallWatch


class Alarm:
    """What is woken at a time that moves.

    It is inherited rather than called: it would be one call more for each Ping and each Pong.
    """

    __slots__ = ("_context", "_loop", "_tick", "_timer", "_timer_at", "_watch")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._tick: Callable[[], None] | None = None
        self._context: contextvars.Context | None = None
        self._watch: StallWatch | None = None

    def _on_alarm(self, now: float, grace: float) -> None:
        """It is time; the event loop stood still for `grace` seconds and has yet to catch up."""
        raise NotImplementedError

    def _switch_on(self) -> None:
        """From now on the alarm can be set; it goes off in the caller's context."""
        self._watch = StallWatch.join(self._loop)
        # Made once, not for each timer: what thousands of connections make anew at each Ping,
        # the garbage collector looks at all at once.
        self._tick = self._on_timer
        self._context = contextvars.copy_context()

    def _switch_off(self) -> None:
        """Do not wake any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watch is not None:
            self._watch.leave()
            self._watch = None

    def _wake(self, at: float, perhaps_at: float) -> None:
        """Wake at a time, or earlier.

        Args:
            at: Monotonic seconds; infinity is never.
            perhaps_at: If that is earlier, wake then instead: what is due at `at` will most often
                have been dealt with, and then the timer can be left alone.
        """
        if at == inf:
            return
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        now = time.monotonic()
        if now < perhaps_at - EARLY < at:
            at = perhaps_at
        self._timer_at = at if at > now else now
        assert self._tick is not None  # nothing is due before the alarm has been switched on
        delay = self._timer_at - now
        self._timer = self._loop.call_later(delay, self._tick, context=self._context)

    def _on_timer(self) -> None:
        self._timer = None
        now = time.monotonic()
        assert self._watch is not None  # the timer is cancelled together with the watch
        self._on_alarm(now, self._watch.grace(now, self._timer_at))
