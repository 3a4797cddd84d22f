"""The one timer of a connection, and whether the event loop stood still."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from math import inf

from .heartbeat import EARLY, Heartbeat
from .stall import INTERVAL, StallWatch

TURNS = 5
"""So many turns of the event loop bring the news of a lost connection to whoever sends."""


class Alarm:
    """What is woken when its heartbeat has something to do: `_on_timer` is called then.

    It is inherited rather than called: it would be one call more for each Ping and each Pong.
    """

    __slots__ = (
        "_context",
        "_heartbeat",
        "_loop",
        "_tick",
        "_timer",
        "_timer_at",
        "_turn_due",
        "_watch",
    )

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._tick: Callable[[], None] | None = None
        self._context: contextvars.Context | None = None
        self._turn_due = time.monotonic() + INTERVAL  # as long as there is no watch
        self._watch: StallWatch | None = None

    # For the heir: it begins with `_fired` and ends with `_arm`.
    def _on_timer(self) -> None: ...

    def _switch_on(self) -> None:
        """From now on the timer can be set; it fires in the caller's context."""
        self._watch = StallWatch.join(self._loop)
        # Made once, not for each timer: what thousands of connections make anew at each Ping,
        # the garbage collector looks at all at once.
        self._tick = self._enter
        self._context = contextvars.copy_context()

    def _enter(self) -> None:
        assert self._context is not None  # the timer is cancelled when it is given up
        self._context.run(self._on_timer)

    def _switch_off(self) -> None:
        """Do not wake any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watch is not None:
            self._watch.leave()
            self._watch = None
        self._context = None

    async def _turn_if_due(self) -> None:
        """Let the event loop turn, if it has not for too long.

        A server's call need not wait: nor does `send`, for one, when the peer has reset the
        connection, and the loop has yet to tell. An application that repeats it would never let
        the loop tell, nor do anything else.
        """
        watch = self._watch
        if time.monotonic() > (self._turn_due if watch is None else watch.turn_due):
            await self._turn()

    async def _turn(self) -> None:
        if self._watch is not None:
            self._watch.turn_due = inf  # until it looks again, in the next turn; one is enough
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._turn_due = time.monotonic() + INTERVAL

    def _arm(self) -> None:
        """See to it that the timer fires when the heartbeat wants it to, or earlier."""
        wake_at = self._heartbeat.wake_at
        if wake_at == inf:
            return
        if self._timer is not None:
            if self._timer_at <= wake_at:
                return
            self._timer.cancel()
        now = time.monotonic()
        # Rather than at a deadline, wake when the next Ping may be due: the Pong most often comes
        # before, and then it leaves the timer alone.
        next_ping_at = self._heartbeat.next_ping_at
        if now < next_ping_at - EARLY < wake_at:
            wake_at = next_ping_at
        self._timer_at = wake_at if wake_at > now else now
        # Nothing is due before the alarm has been switched on, nor after.
        assert self._tick is not None
        assert self._watch is not None
        # An event loop keeps the context of a timer that has been cancelled until it would have
        # fired: the application's would be kept for as long.
        context = self._watch.context
        self._timer = self._loop.call_later(self._timer_at - now, self._tick, context=context)

    def _fired(self, now: float) -> float:
        """Take note that the timer has fired; return for how long the event loop stood still."""
        self._timer = None
        assert self._watch is not None  # the timer is cancelled together with the watch
        return self._watch.grace(now, self._timer_at)
