"""The exit of a worker of hypercorn's.

It leaves its connections alone for `graceful_timeout`, and then cancels what runs them.
"""

from __future__ import annotations

import contextlib
import signal
from contextvars import Context
from typing import Any
from weakref import WeakKeyDictionary

from ...endpoint.adapter import Adapter


class Exit:
    """Tells the connections of one worker that it exits, as long as there are any.

    Args:
        tcp: The `TCPServer` of one of them.
    """

    def __init__(self, tcp: Any) -> None:
        self._adapters: set[Adapter] = set()
        self._grace: float = tcp.config.graceful_timeout
        _catch_sigterm(tcp)
        # In an empty context: that of the application would be kept for as long.
        self._watching = tcp.loop.create_task(
            self._watch(tcp.context.terminated), context=Context()
        )

    def add(self, adapter: Adapter) -> None:
        """One connection more is to be told."""
        self._adapters.add(adapter)

    def discard(self, adapter: Adapter) -> bool:
        """A connection has gone; return whether nobody is left."""
        self._adapters.discard(adapter)
        if not self._adapters:
            self._watching.cancel()
        return not self._adapters

    async def _watch(self, terminated: Any) -> None:
        await terminated.wait()
        for adapter in list(self._adapters):
            adapter.announce_exit(self._grace)


def _catch_sigterm(tcp: Any) -> None:
    """Let one of several workers exit at SIGTERM as one that is alone does.

    hypercorn sends it to all as soon as the first has exited. They have no handler, and would die.
    """
    if tcp.config.workers > 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # Windows knows no handlers, nor do threads.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            # In an empty context, too.
            Context().run(
                tcp.loop.add_signal_handler, signal.SIGTERM, tcp.context.terminate._event.set
            )


_exits: WeakKeyDictionary[Any, Exit] = WeakKeyDictionary()


def watch(tcp: Any, adapter: Adapter) -> None:
    """Tell a connection when its worker exits, unless it does so already."""
    if tcp.context.terminated.is_set():
        return
    exit = _exits.get(tcp.context)
    if exit is None:
        exit = _exits[tcp.context] = Exit(tcp)
    exit.add(adapter)


def unwatch(tcp: Any, adapter: Adapter) -> None:
    """A connection has gone."""
    exit = _exits.get(tcp.context)
    if exit is not None and exit.discard(adapter):
        del _exits[tcp.context]
