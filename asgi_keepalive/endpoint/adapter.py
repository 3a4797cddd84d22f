"""The adapter of a server, and all that it must provide so that the endpoint can serve it.

The endpoint holds an adapter, and calls it. An adapter calls nothing of the endpoint, but the
transport and the queue that it is given.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import Any

from ..extension import Event, Traffic
from . import kernel
from .closing import BoundedTransport
from .frames import close_frame
from .inflate import Inflater
from .queue import ReadAheadQueue
from .transports import bound_unsent


def disconnect(code: int, reason: str = "") -> Event:
    """Return the event that tells an application of the end."""
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


class Adapter(ABC):
    """A connection of one server, as far as the extension's functions need it.

    Attributes:
        loop: The event loop.
        transport: The server's transport, one of asyncio's or like it; a `BoundedTransport` from
            `use_transport` on.
    """

    __slots__ = ("loop", "transport")

    loop: asyncio.AbstractEventLoop
    transport: Any

    @abstractmethod
    def use_transport(self, transport: BoundedTransport) -> None:
        """Let the server write to this transport, and close it, from now on."""

    def watch_exit(self) -> None:  # noqa: B027
        """Watch for the server's exit, and announce it."""

    def announce_exit(self, grace: float) -> bool:
        """The server exits in `grace` seconds; return whether somebody else closes until then.

        A connection whose handshake is not complete is left to the server.
        """
        return self.is_open() and bool(self.transport.announce_exit(grace))

    @abstractmethod
    def stop_keepalive(self) -> None:
        """End the server's own keepalive on this connection."""

    @abstractmethod
    def is_open(self) -> bool:
        """Whether the handshake is complete and nobody has begun to close."""

    def traffic(self) -> Traffic:
        """Tell how things stand with the peer, but for what the transport buffers itself.

        Where the kernel does not tell, the `Receiver` counts what comes.
        """
        return kernel.traffic(self.transport.get_extra_info("socket"))

    def bound_unsent(self) -> None:
        """Let the transport, and the kernel, take little ahead of what they can send."""
        bound_unsent(self.transport)

    def write_close(self, code: int, reason: str) -> None:
        """Write a Close frame (RFC 6455 5.5.1)."""
        self.transport.write(close_frame(code, reason))

    @abstractmethod
    def failed(self, code: int, reason: str) -> None:
        """`fail` has written a Close frame, and will close TCP: tell the application."""

    @abstractmethod
    def end_writing(self) -> None:
        """Nothing can be written any more: let every `send` raise, and none wait."""


class ReadingAdapter(Adapter):
    """A connection of one server, whose frames the endpoint reads: all that it must provide.

    The endpoint's `Receiver` is the transport's protocol from the beginning on. Until the handshake
    is over all that comes is passed on to the server's own parser; then the `Receiver` reads, and
    calls the adapter so that it tells the server what the server has to know. What the application
    sends goes its old way all the time, through the server's own `send`.

    Attributes:
        queue: The events for the application; it takes the place of the server's own.
        max_unread: So many messages may be unread; infinity is no bound.
        max_size: The largest message in bytes, `None` for no bound.
        pongs_after_close: Whether the server answers Pings after its own Close frame.
    """

    __slots__ = ("max_size", "max_unread", "queue")

    queue: ReadAheadQueue
    max_unread: float
    max_size: int | None
    pongs_after_close = False

    @property
    def logger(self) -> logging.Logger | None:
        """The server's logger for frames, if it has one."""
        return None

    # The beginning.

    @abstractmethod
    def use_queue(self, queue: ReadAheadQueue) -> None:
        """Let the server put its events into this queue, where those that it has move to."""

    @abstractmethod
    def forward(self, data: bytes) -> None:
        """Pass on to the server's parser what comes before the `Receiver` reads."""

    @abstractmethod
    def unparsed(self) -> bytes | None:
        """Return what the server's parser holds and has not made into frames.

        `None` if the handshake is not over, or if the parser is in the midst of a frame or a
        message: then the `Receiver` asks again when more has come.
        """

    @abstractmethod
    def inflater(self) -> Inflater | None:
        """Return what inflates, if permessage-deflate was agreed."""

    # Between the two ends.

    def message(self, data: str | bytes) -> Event:
        """Return the server's event for a message."""
        if type(data) is str:
            return {"type": "websocket.receive", "text": data}
        return {"type": "websocket.receive", "bytes": data}

    def has_read(self) -> None:
        """The `Receiver` has read something."""

    @abstractmethod
    def pause_writing(self) -> None:
        """The transport's buffer is full: let `send` wait."""

    @abstractmethod
    def resume_writing(self) -> None:
        """There is room in the transport's buffer."""

    # The end.

    @abstractmethod
    def peer_closed(self, code: int, reason: str) -> None:
        """A Close frame has come: answer it, tell the application, and close TCP.

        If the application has closed before, this is the answer.
        """

    @abstractmethod
    def peer_failed(self, code: int, reason: str) -> None:
        """The peer has broken the protocol: tell the application, and close TCP.

        If the connection was open a Close frame has been written.
        """

    def eof_received(self) -> None:
        """The peer has shut down its side."""

    @abstractmethod
    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone: tell the server."""
