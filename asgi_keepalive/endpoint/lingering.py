"""A connection that is closing: its bytes are discarded, and its descriptor is held."""

from __future__ import annotations

import asyncio
import socket
from contextvars import Context
from typing import Protocol

from .kernel import reset_on_close, unacknowledged

FIRST_LOOK = 0.02
"""Seconds until the first look at what a peer has acknowledged; each wait is twice the last."""

LONGEST_WAIT = 0.5
"""But not longer than this, in seconds: thousands of connections may be closing at once."""


class ClosingTransport(Protocol):
    """A transport that is closing, and is told of what its peer does."""

    def received(self) -> None: ...
    def flushed(self) -> None: ...
    def eof_received(self) -> bool: ...


class Discard(asyncio.Protocol):
    """Takes a protocol's place while its connection closes: what arrives stops here."""

    def __init__(self, transport: ClosingTransport, protocol: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self._paused = False

    def data_received(self, data: bytes) -> None:
        self._transport.received()

    def eof_received(self) -> bool:
        return self._transport.eof_received()

    def pause_writing(self) -> None:
        self._paused = True  # which is no concern of a protocol that writes nothing any more

    def resume_writing(self) -> None:
        if self._paused:
            self._paused = False
        else:
            self._protocol.resume_writing()
        self._transport.flushed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)


def close_once_acknowledged(
    sock: socket.socket,
    loop: asyncio.AbstractEventLoop,
    deadline: float,
    next_look: float = FIRST_LOOK,
) -> None:
    """Close a socket when the peer has acknowledged everything; at the deadline with RST."""
    left = deadline - loop.time()
    if left <= 0:
        reset_on_close(sock)
    if left <= 0 or not unacknowledged(sock):
        sock.close()
        return
    loop.call_later(
        min(next_look, left),
        close_once_acknowledged,
        *(sock, loop, deadline, min(2 * next_look, LONGEST_WAIT)),
        context=Context(),
    )
