"""The exit of a worker of hypercorn's.

It leaves its connections alone for `graceful_timeout`, and then cancels what runs them.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from ...endpoint.closing import BoundedTransport


class Exit:
    """Tells the connections of one worker that it exits, as long as there are any.

    Args:
        tcp: The `TCPServer` of one of them.
    """

    def __init__(self, tcp: Any) -> None:
        self._grace: float = tcp.config.graceful_timeout
        self._transports: set[BoundedTransport] = set()
        self._watching = tcp.loop.create_task(self._watch(tcp.context.terminated))

    def add(self, transport: BoundedTransport) -> None:
        """One connection more is to be told."""
        self._transports.add(transport)

    def discard(self, transport: BoundedTransport) -> bool:
        """A connection has gone; return whether nobody is left."""
        self._transports.discard(transport)
        if not self._transports:
            self._watching.cancel()
        return not self._transports

    async def _watch(self, terminated: Any) -> None:
        await terminated.wait()
        for transport in list(self._transports):
            transport.announce_exit(self._grace)


_exits: WeakKeyDictionary[Any, Exit] = WeakKeyDictionary()


def watch(tcp: Any, transport: BoundedTransport) -> None:
    """Tell a connection when its worker exits."""
    exit = _exits.get(tcp.context)
    if exit is None:
        exit = _exits[tcp.context] = Exit(tcp)
    exit.add(transport)


def unwatch(tcp: Any, transport: BoundedTransport) -> None:
    """A connection has gone."""
    exit = _exits.get(tcp.context)
    if exit is not None and exit.discard(transport):
        del _exits[tcp.context]
