"""Closing a TCP connection so that nothing of it remains, whatever the peer does.

`transport.close()` waits for ever for a buffer that does not drain, waits thirty seconds for the
close_notify of a silent TLS peer, and where the buffer is empty gives the descriptor up at once,
with it the only means against megabytes that the kernel still holds for a dead peer. So every
close is bounded by an abort, and while the peer has not acknowledged everything the descriptor
is kept: the sending side is shut down, and what arrives is read and discarded until the peer's
FIN. RFC 6455 7.1.1 describes this clean closure. TLS has no half-close, and its transports close
their descriptor at the peer's FIN at the latest, so of that a duplicate is kept.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextvars import Context
from math import inf
from typing import Any

from .kernel import duplicate, reset_on_close, unacknowledged, unread

FIRST_LOOK = 0.02
"""Seconds until the first look at what a peer has acknowledged; each wait is twice the last."""

LONGEST_WAIT = 0.5
"""But not longer than this, in seconds: thousands of connections may be closing at once."""


class BoundedTransport:
    """Stands before a connection's transport; its `close` ends within `close_timeout` seconds.

    The calls made for each message are the transport's own bound methods, so it costs them
    nothing.

    Args:
        transport: The connection's own transport.
        loop: The event loop it belongs to.
        on_closing: Called once, when the server or the peer begins to close the connection.
        on_end: Called when nothing can be written any more, so that nobody waits to write.
    """

    __slots__ = (
        "_abort_timer",
        "_closing",
        "_deadline",
        "_duplicate",
        "_eof_written",
        "_half_closed",
        "_hurries",
        "_lingering",
        "_loop",
        "_lost",
        "_next_look",
        "_on_closing",
        "_on_end",
        "_peer_sends",
        "_poll_timer",
        "_transport",
        "close_timeout",
        "is_closing",
        "pause_reading",
        "resume_reading",
        "write",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        on_closing: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self.close_timeout = 10.0
        self.write: Callable[[bytes], None] = transport.write
        self.is_closing: Callable[[], bool] = transport.is_closing
        self.pause_reading: Callable[[], None] = transport.pause_reading
        self.resume_reading: Callable[[], None] = transport.resume_reading
        self._transport = transport
        self._loop = loop
        self._on_closing = on_closing
        self._on_end = on_end
        self._abort_timer: asyncio.TimerHandle | None = None
        self._poll_timer: asyncio.TimerHandle | None = None
        self._next_look = FIRST_LOOK
        self._deadline = inf
        self._duplicate: socket.socket | None = None
        self._closing = False
        self._half_closed = False
        self._hurries = False
        self._lingering = False
        self._eof_written = False
        self._peer_sends = False
        self._lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Flush and close, but not before the peer has acknowledged everything."""
        if self._half_closed:
            self.hurry()
        self._close(linger=False)

    def write_eof(self) -> None:
        """Flush, shut down the sending side, and close: once the peer sends no more, or at `close`.

        Closed without that, a socket with something unread sends RST in place of a FIN.
        """
        self._half_closed = not self._closing
        self._close(linger=False)

    def linger(self) -> None:
        """Flush, shut down the sending side, and wait for the peer's FIN.

        TLS has no half-close, but its transport waits for the peer's close_notify.
        """
        self._close(linger=True)

    def _close(self, *, linger: bool) -> None:
        if self._closing or self._lost:
            return
        wait = linger or self._half_closed or self._must_wait()
        self._closing = True
        self._lingering = linger
        self.abort_after(self.close_timeout)
        self._stop_writing()
        if unread(self._transport.get_extra_info("socket")):
            self.received()
        self._transport.resume_reading()
        self._transport.set_protocol(_Discard(self, self._transport.get_protocol()))
        if wait and self._transport.can_write_eof():
            self._transport.set_write_buffer_limits(0)  # it tells when everything is written
            self._go_on()
        else:
            self._transport.close()

    def _go_on(self) -> None:
        """Take the next step of a close that has to wait, of TCP without TLS."""
        if self._lost:
            return
        if self._poll_timer is not None:
            self._poll_timer.cancel()
        if self._may_write_eof():
            self._eof_written = True
            try:
                self._transport.write_eof()
            except OSError:  # the peer has gone
                self._transport.close()
                return
        if self._peer_sends or self._must_wait():
            self._peer_sends = False  # until more comes
            self._poll_timer = self._loop.call_later(
                self._next_look, self._go_on, context=Context()
            )
            self._next_look = min(2 * self._next_look, LONGEST_WAIT)
        elif not self._lingering:
            self._transport.close()

    def _may_write_eof(self) -> bool:
        if self._eof_written or self._transport.get_write_buffer_size():
            return False  # asyncio would do it later, where nobody can catch what it raises
        # Some clients break at a FIN that they get in the midst of what they send.
        return self._half_closed or not self._peer_sends

    def _must_wait(self) -> bool:
        """Whether closing now would orphan data in the kernel."""
        # A TLS transport keeps its descriptor anyway; and closed twice, asyncio's cannot abort.
        if not self._transport.can_write_eof():
            return False
        if self._transport.get_write_buffer_size():
            return True
        return unacknowledged(self._transport.get_extra_info("socket")) > 0

    def hurry(self) -> bool:
        """Do not linger; return whether the connection is closing at all."""
        self._hurries = True
        self._lingering = self._peer_sends = False
        if self._closing and self._transport.can_write_eof():
            self._next_look = FIRST_LOOK
            self._go_on()
        return self.is_closing()

    def received(self) -> None:
        """The peer still sends, which is discarded."""
        self._peer_sends = not self._hurries

    def flushed(self) -> None:
        """Everything has been written: go on without waiting for the next look."""
        if self._transport.can_write_eof():
            # Not at once: the transport is in the midst of its own steps.
            self._loop.call_soon(self._go_on, context=Context())

    def eof_received(self) -> bool:
        """The peer has shut down its side; return whether its transport is to stay open.

        An event loop would give the descriptor up as soon as its own buffer is empty.
        """
        if self._must_wait():
            self.close()
            self.hurry()
            return True
        self.abort_after(self.close_timeout)
        self._stop_writing()
        return False

    def hold_reading(self) -> None:
        """Read nothing until `release_reading`, whoever resumes."""
        if not self.is_closing():
            self.pause_reading()
            self.pause_reading = self.resume_reading = _ignore

    def release_reading(self) -> None:
        """From now on reading can be resumed, which remains to be done."""
        if not self.is_closing():
            self.pause_reading = self._transport.pause_reading
            self.resume_reading = self._transport.resume_reading

    def _stop_writing(self) -> None:
        self.write = self.pause_reading = self.resume_reading = _ignore
        self.is_closing = _yes
        self._on_end()

    def abort_after(self, timeout: float) -> None:
        """Abort TCP at the latest in `timeout` seconds; the first such call counts."""
        if self._abort_timer is None and not self._lost:
            # In an empty context: that of the application would be kept for as long.
            self._abort_timer = self._loop.call_later(timeout, self.abort, context=Context())
            self._deadline = self._loop.time() + timeout
            if not self._transport.can_write_eof():
                self._duplicate = duplicate(self._transport.get_extra_info("socket"))
            self._on_closing()

    def abort(self) -> None:
        """Free the descriptor and what the kernel holds, at once: the peer gets RST."""
        if not self._lost:
            reset_on_close(self._transport.get_extra_info("socket"))
            self._transport.abort()

    def lost(self) -> None:
        """The connection is gone."""
        self._lost = True
        self._stop_writing()
        for timer in self._abort_timer, self._poll_timer:
            if timer is not None:
                timer.cancel()
        if self._duplicate is not None:
            close_once_acknowledged(self._duplicate, self._loop, self._deadline)


class _Discard(asyncio.Protocol):
    """Takes a protocol's place while its connection closes: what arrives stops here."""

    def __init__(self, transport: BoundedTransport, protocol: asyncio.BaseProtocol) -> None:
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


def _ignore(*args: object) -> None:
    pass


def _yes() -> bool:
    return True
