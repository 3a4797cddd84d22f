"""Whether TCP is dead as a whole, when one stream of it is.

An HTTP/2 PING asks the peer. Over a slow link it arrives behind megabytes that the kernel has for
other streams, and a peer that is busy with those sends nothing meanwhile. But its kernel
acknowledges them, until its windows are full if nobody reads.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextvars import Context
from math import inf
from typing import NamedTuple

from ...endpoint.closing import BoundedTransport
from ...endpoint.kernel import Transferred, transferred

TIME_TO_ANSWER = 2.0
"""A living peer is heard of in so many seconds, however short `close_timeout` is.

That is enough by way of a satellite (0.6 s), though the first segment is lost and TCP waits for a
second before it sends it again (RFC 6298 2.1).
"""

LOOKS = 4
"""In that time the kernel is asked so often what the peer has acknowledged."""


class Asked(NamedTuple):
    """The peer was asked for a sign of life.

    Attributes:
        received: How many bytes had come until then.
        at: When, by the event loop's clock.
    """

    received: int
    at: float


class Life:
    """Looks for signs of life of one connection's peer.

    Args:
        loop: The event loop.
        transport: Of TCP.
        sock: Its socket, if there is one.
        ping: Sends an HTTP/2 PING.

    Attributes:
        received: How many bytes have been read, for where the kernel does not tell.
    """

    __slots__ = (
        "_acknowledged",
        "_asked_with",
        "_loop",
        "_ping",
        "_progress_at",
        "_sock",
        "_timer",
        "_transport",
        "received",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: BoundedTransport,
        sock: socket.socket | None,
        ping: Callable[[], None],
    ) -> None:
        self.received = 0
        self._acknowledged = 0
        self._asked_with = -1
        self._loop = loop
        self._ping = ping
        self._progress_at = -inf
        self._sock = sock
        self._timer: asyncio.TimerHandle | None = None
        self._transport = transport

    def ask(self) -> Asked:
        """Let the peer send something, if it lives."""
        received = self._look()
        if received > self._asked_with:  # otherwise the last PING is still unanswered
            self._asked_with = received
            self._ping()
            self._look_later()
        return Asked(received, self._loop.time())

    def abort_if_dead(self, asked: Asked) -> None:
        """Abort TCP unless there has been a sign; a living peer loses one stream only."""
        if self._look() > asked.received:
            return
        left = max(asked.at, self._progress_at) + TIME_TO_ANSWER - self._loop.time()
        if left > 0:
            self._loop.call_later(left, self.abort_if_dead, asked, context=Context())
        else:
            self._transport.abort()

    def _look(self) -> int:
        """Note whether the peer has acknowledged more; return how many bytes have come."""
        acknowledged, received = self._transferred()
        if acknowledged > self._acknowledged:
            self._acknowledged = acknowledged
            self._progress_at = self._loop.time()
        return received

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(
            TIME_TO_ANSWER / LOOKS, self._look_again, context=Context()
        )

    def _look_again(self) -> None:
        """Look until the peer has answered, so that an abort need not wait for a second look."""
        self._timer = None
        if self._look() <= self._asked_with and not self._transport.is_closing():
            self._look_later()

    def _transferred(self) -> Transferred:
        """Return what the kernel tells, or what is known without it."""
        return transferred(self._sock) or Transferred(0, self.received)
