"""What a check has to work with: connections to the server under test."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from . import kernel
from .outcomes import NotSeen, Trace
from .peer import PING, PONG, Peer, frame
from .remote import Control, Remote, Task

LATE = 1.5
"""How much later than promised, in seconds, a loaded machine may be."""


class Target(Protocol):
    """The server under test.

    Attributes:
        port: Where it listens, on 127.0.0.1.
    """

    port: int

    def shut_down(self) -> None:
        """Begin to shut down, as SIGTERM would."""

    def join(self) -> None:
        """Wait until it has exited."""

    def log(self) -> str:
        """Return what it has logged."""


class Link(NamedTuple):
    """Both sides of one connection."""

    peer: Peer
    remote: Remote
    server_port: int

    def freed(self, timeout: float) -> float:
        """Wait until the kernel holds nothing on the server's side."""
        return kernel.freed(self.server_port, self.peer.port, timeout, LATE)

    def pinged(self, payload: bytes) -> bytes:
        """Send a Ping; return the Pong that answers it."""
        self.remote.call("ping", payload)
        return frame(PONG, self.peer.expect(PING, payload))

    def blocked(self) -> Task:
        """Send megabytes to a peer that reads nothing; return the `send` that waits."""
        stream, sent = self.remote.blocked()
        if stream.is_done:
            raise NotSeen(f"no send was blocked by a peer that left {sent * 65536} bytes unread")
        return stream


class Bounds(NamedTuple):
    """So much the server reads ahead."""

    messages: int
    bytes: int


@dataclass
class Run:
    """One server under test, with one event loop, with or without TLS.

    Attributes:
        keepalive: Seconds after which the server's own keepalive sends a Ping, if it is told.
        offered: The functions that the server offers.
        grace_ends: Until when a server that exits leaves its connections alone.
        left_at: When the last connection was left to itself.
        exited_at: When the server had exited.
    """

    target: Target
    control: Control
    tls: ssl.SSLContext | None = None
    keepalive: float | None = None
    offered: set[str] = field(default_factory=set)
    grace_ends: float = 0.0
    left_at: float = 0.0
    exited_at: float = 0.0
    _bounds: Bounds | None = None
    _measuring: threading.Lock = field(default_factory=threading.Lock)

    def bounds(self, measure: Callable[[], Bounds]) -> Bounds:
        """Return how much the server reads ahead, which is measured once."""
        with self._measuring:
            self._bounds = self._bounds or measure()
            return self._bounds


class Trial:
    """One check on one server; a context manager that ends its connections."""

    def __init__(self, run: Run) -> None:
        self.run, self.trace = run, Trace()
        self._opened = ExitStack()

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    @property
    def offered(self) -> set[str]:
        """The functions that the server offers."""
        return self.run.offered

    def connect(self, **options: Any) -> Link:
        """Ask for a WebSocket."""
        path, remote = self.run.control.expect(self.trace)
        port = self.run.target.port
        peer = Peer(port, path, self.trace, self.run.tls, **options)
        self._opened.callback(remote.close)
        self._opened.callback(peer.close)
        return Link(peer, remote, port)

    def accepted(self, *before: tuple[Any, ...], **options: Any) -> Link:
        """Return a connection that is accepted after the application has taken some steps."""
        link = self.connect(**options)
        steps = *before, ("receive",), ("send", "accept", {})
        link.remote.begin(*steps).result()
        link.peer.open()
        return link

    def taken(self, *before: tuple[Any, ...], stalled: bool = False, **options: Any) -> Link:
        """Return one that is taken over, too, by a peer that may read nothing from then on."""
        if stalled:
            options["receive_buffer"] = 4096
        return self.accepted(("take_over",), *before, **options)
