"""The connections of one event loop share wake-ups, phases, and the watch over stalls.

Time is divided in slots. All that want to be woken in the same slot are woken together, when the
first of them is due: so nobody is late, and nobody is early by more than a slot's width. Of many
only those in the same part of a slot are.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from math import inf
from typing import Protocol

from .phases import NEAR, PARTS, WIDTH, Phases
from .stall import INTERVAL, StallWatch

TURN = 0.002
"""Seconds after which others have their turn, when very many are woken at once."""


class Sleeper(Protocol):
    """A sleeper can be woken."""

    def wake(self) -> None: ...


class Slot:
    """A slot holds the sleepers that are woken together.

    Attributes:
        at: When the first of them is due, in monotonic seconds.
        timer: Fires then; `None` once it has.
    """

    __slots__ = ("at", "number", "sleepers", "timer")

    def __init__(self, number: float) -> None:
        self.at = inf
        self.number = number
        self.sleepers: set[Sleeper] = set()
        self.timer: asyncio.TimerHandle | None = None


Sleep = Slot | asyncio.TimerHandle
"""The slot of a sleeper, or a timer of its own."""


class Crowd:
    """The connections of one event loop.

    Attributes:
        loop: The event loop.
        phases: When the connections are pinged.
        turn_due: When a call should ask next whether the loop has turned.
        watch: Tells for how long the loop stood still.
    """

    __slots__ = (
        "_context",
        "_has_turned",
        "_members",
        "_slots",
        "loop",
        "phases",
        "turn_due",
        "watch",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._context = contextvars.Context()  # of timers, which keep theirs
        self._has_turned = True
        self.loop = loop
        self._members = 0
        self._slots: dict[float, Slot] = {}
        self.phases = Phases()
        self.turn_due = 0.0
        self.watch = StallWatch(loop, self._context)

    @classmethod
    def join(cls, loop: asyncio.AbstractEventLoop) -> Crowd:
        """Return the loop's crowd; the caller must `leave` it."""
        crowd = _crowds.get(loop)
        if crowd is None:
            crowd = _crowds[loop] = cls(loop)
        crowd._members += 1
        return crowd

    def leave(self) -> None:
        """Leave the crowd; after the last connection nothing remains of it."""
        self._members -= 1
        if not self._members:
            del _crowds[self.loop]

    # Wake-ups.

    def sleep(self, sleeper: Sleeper, at: float, now: float) -> Sleep:
        """Wake the sleeper at `at`, or less than `WIDTH` before, unless that is `NEAR`.

        Args:
            at: Monotonic seconds.
            now: The same.

        Returns:
            What `forget` takes.
        """
        # An event loop keeps the context of a timer that has been cancelled until it would have
        # fired: the application's would be kept for as long.
        context = self._context
        if at - now < NEAR:
            return self.loop.call_later(at - now, sleeper.wake, context=context)
        many = self.phases.are_many
        number = at // (WIDTH / PARTS) if many else at // WIDTH * PARTS
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = Slot(number)
        if at < slot.at:
            if slot.timer is not None:
                slot.timer.cancel()
            slot.at = at
            slot.timer = self.loop.call_later(at - now, self._fire, slot, context=context)
        slot.sleepers.add(sleeper)
        return slot

    def forget(self, sleeper: Sleeper, sleep: Sleep) -> None:
        """Do not wake the sleeper."""
        if not isinstance(sleep, Slot):
            sleep.cancel()
            return
        sleep.sleepers.discard(sleeper)
        if not sleep.sleepers and sleep.timer is not None:
            sleep.timer.cancel()
            del self._slots[sleep.number]

    def _fire(self, slot: Slot) -> None:
        slot.timer = None
        del self._slots[slot.number]
        self.watch.stall(time.monotonic(), slot.at)
        self._wake(slot.sleepers)

    def _wake(self, sleepers: set[Sleeper]) -> None:
        """Wake all; those that are woken may let others sleep, or forget them."""
        over = time.monotonic() + TURN
        try:
            while sleepers:
                try:
                    sleepers.pop().wake()
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # as an event loop does with each of its callbacks
                    self.loop.call_exception_handler(
                        {"message": "a connection's timer failed", "exception": error}
                    )
                if time.monotonic() > over:
                    break
        finally:
            if sleepers:
                self.loop.call_soon(self._wake, sleepers, context=self._context)

    # Turns of the event loop.

    def has_turned(self) -> bool:
        """Return whether the loop has turned since this was asked last."""
        self.turn_due = time.monotonic() + INTERVAL / 2
        if not self._has_turned:
            return False
        self._has_turned = False
        self.loop.call_soon(self._turned, context=self._context)
        return True

    def _turned(self) -> None:
        self._has_turned = True


_crowds: dict[asyncio.AbstractEventLoop, Crowd] = {}
