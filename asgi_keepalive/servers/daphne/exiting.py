"""daphne's exit: Twisted calls what is to be done before, and waits for it.

First of all daphne cancels its applications. So of a connection that others are going to close it
is given a stand-in for the task of the application, which learns of the exit in this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any


class Application(asyncio.Future[None]):
    """Stands for the task of an application, and ends as that does.

    Args:
        task: The task.
        spare: Returns whether the task is to go on, though daphne cancels it.
    """

    def __init__(self, task: asyncio.Task[None], spare: Callable[[], bool]) -> None:
        super().__init__(loop=task.get_loop())
        self._cancelling: asyncio.TimerHandle | None = None
        self._spare = spare
        self._task = task
        task.add_done_callback(self._end)

    def cancel(self, msg: Any = None) -> bool:
        return self._spare() or self._task.cancel(msg)

    def cancel_after(self, seconds: float) -> None:
        """Cancel the task, if it goes on for so long; the first such call counts."""
        if self._cancelling is None:
            self._cancelling = self.get_loop().call_later(
                seconds, self._task.cancel, context=Context()
            )

    def _end(self, task: asyncio.Task[None]) -> None:
        if self._cancelling is not None:
            self._cancelling.cancel()
        if task.cancelled():
            super().cancel()
        elif (error := task.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(None)
