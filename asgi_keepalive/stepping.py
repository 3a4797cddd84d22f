"""Awaiting a server's `receive` or `send`, while keeping the power to let go of it.

A call that is blocked in the server has to end the moment the connection fails, whatever the
server does about it. A task per call, or `asyncio.timeout`, would be a cost on every message.
Instead the server's coroutine is stepped by hand: most calls end in their first step, and of one
that suspends it is known which future it waits on. Cancelling that future alone wakes the task
and leaves `Task.cancelling` as it was, so a real cancellation is never mistaken for ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Generator
from types import CoroutineType
from typing import Any

Steps = Coroutine[Any, None, Any]
"""A coroutine that can be stepped with `send(None)`, `throw` and `close`."""


BARE_YIELDS = 10
"""A call may let others go first so often, and still count as one that does not wait."""


class Released(Exception):
    """The call was let go before the server had finished it."""


class NotReady(Exception):
    """The call would have had to wait."""


def steps(awaitable: Awaitable[Any]) -> Steps:
    """Return the steps of an awaitable; each yields what it waits on."""
    return awaitable if isinstance(awaitable, CoroutineType) else _await(awaitable)


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def call(awaitable: Awaitable[Any], suspended: list[Suspended]) -> Any:
    """Await a call; while it waits, it is in the list of those that can be released.

    Raises:
        Released: It was.
    """
    remaining = steps(awaitable)
    try:
        waiting = Suspended(remaining, remaining.send(None))
    except StopIteration as stop:
        return stop.value
    suspended.append(waiting)
    try:
        return await waiting
    finally:
        suspended.remove(waiting)


def poll(awaitable: Awaitable[Any]) -> Any:
    """Return the result of a call that does not have to wait.

    Raises:
        NotReady: It would have to; it has been cancelled.
    """
    remaining = steps(awaitable)
    try:
        # A bare yield, as of asyncio.sleep(0), waits for nothing.
        for _ in range(BARE_YIELDS):
            if remaining.send(None) is not None:
                break
        _cancel(remaining)
    except StopIteration as stop:
        return stop.value
    raise NotReady


def _cancel(remaining: Steps) -> None:
    """Cancel a call; should it go on waiting all the same, drop it."""
    with contextlib.suppress(asyncio.CancelledError):
        remaining.throw(asyncio.CancelledError())
        _drop(remaining)


def _drop(remaining: Steps) -> None:
    with contextlib.suppress(RuntimeError):  # "coroutine ignored GeneratorExit"
        remaining.close()


def _cancellations() -> int:
    """Return how many cancellations the running task has met and not taken back.

    One that a task asks for itself is counted by `cancelling` at once, but met at its next wait.
    """
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling() - getattr(task, "_must_cancel", False)


class Suspended:
    """A call that suspended in its first step: await it for its result, or `release` it."""

    __slots__ = ("_released", "_steps", "_waits_on")

    def __init__(self, steps: Steps, waits_on: asyncio.Future[Any] | None) -> None:
        self._steps = steps
        self._waits_on = waits_on  # None for a bare yield, as of asyncio.sleep(0)
        self._released = False

    def release(self) -> None:
        """End the call: its await raises `Released`, unless a result has come meanwhile."""
        self._released = True
        if self._waits_on is not None:
            self._waits_on.cancel()

    def __await__(self) -> Generator[Any, None, Any]:
        # The traceback of an error that passes here refers to this frame. Did the frame refer to
        # the error, to its future or to the task, all frames of the traceback, the application's
        # among them, would be left to the garbage collector.
        first = _cancellations()
        try:
            while True:
                before = _cancellations()
                cancelled = False  # by somebody else than `release`, during this wait
                try:
                    yield self._waits_on
                except GeneratorExit:
                    self._steps.close()
                    raise
                except BaseException as error:
                    cancelled = _cancellations() > before
                    self._waits_on = self._steps.throw(error)
                    if self._released and isinstance(error, asyncio.CancelledError):
                        _cancel(self._steps)
                        raise
                else:
                    self._waits_on = self._steps.send(None)
                if self._released:
                    _cancel(self._steps)
                    raise Released
        except StopIteration as stop:
            return stop.value
        except asyncio.CancelledError:
            # A timeout inside the call cancels the task as well, and takes that back.
            if self._released and not (cancelled and _cancellations() > first):
                raise Released from None
            raise
        finally:
            self._waits_on = None
