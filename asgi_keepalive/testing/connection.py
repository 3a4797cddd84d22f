"""One connection in a test, and what its peer is to do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from ..state import Keepalive
from ..text import shown
from .server import SimulatedServer

PATIENCE = 10.0
"""Seconds in which an event loop must have done what a test in another thread asks for."""


class PeerConnection:
    """One connection of a `Peer`, with the methods of the peer for itself.

    They raise `RuntimeError` if the connection is not open any more.

    Example::

        first, *others = peer.connections
        first.freeze()

    Attributes:
        path: The path of the connection.
    """

    def __init__(self, server: SimulatedServer) -> None:
        self.path: str = server.scope.get("path", "")
        self._server = server

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    @property
    def keepalive(self) -> Keepalive:
        """The object that `get_keepalive` gives to the application, also after the connection."""
        return self._server.keepalive

    @property
    def is_open(self) -> bool:
        """Whether the connection is open, and a `KeepaliveMiddleware` keeps it alive."""
        return self._server.is_kept

    def pong_after(self, latency: float) -> None:
        """Let a Ping go out now, and its Pong come after `latency` seconds; see `Peer`."""
        seconds = valid(latency)
        self._call(lambda: self._server.pong_after(seconds))

    def lose_pong(self) -> None:
        """Let the Pong of the next Ping be lost; see `Peer`."""
        self._call(self._server.lose_pong)

    def freeze(self) -> None:
        """Let the peer read nothing any more; see `Peer`."""
        self._call(self._server.freeze)

    def time_out(self) -> None:
        """Let a Pong be overdue now; see `Peer`."""
        self._call(self._time_out)

    def _time_out(self) -> None:
        keepalive = self.keepalive
        if None in (keepalive.ping_interval, keepalive.ping_timeout):
            raise RuntimeError(
                f"nothing times out on {self!r}: ping_interval is {keepalive.ping_interval}, "
                f"ping_timeout is {keepalive.ping_timeout}"
            )
        while self._server.skip():
            pass

    def _call(self, call: Callable[[], None]) -> None:
        """Call it in the thread and the context of the application."""
        if threading.get_ident() == self._server.thread:
            self._call_here(call)
            return

        async def call_there() -> None:
            self._call_here(call)

        asyncio.run_coroutine_threadsafe(call_there(), self._server.loop).result(PATIENCE)

    def _call_here(self, call: Callable[[], None]) -> None:
        if not self.is_open:
            raise RuntimeError(f"{self!r} is not open any more")
        self._server.context.copy().run(call)


def valid(latency: float) -> float:
    """Return a latency in seconds.

    Raises:
        TypeError: It is not a number.
        ValueError: It is negative, or not a number to mathematicians.
    """
    text = f"latency must be a number of seconds, 0 or more, not {shown(latency)}"
    if isinstance(latency, bool) or not isinstance(latency, (int, float)):
        raise TypeError(text)
    if not latency >= 0:
        raise ValueError(text)
    return latency
