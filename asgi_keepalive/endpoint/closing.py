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
from collections.abc import Callable, Mapping
from contextvars import Context
from enum import Enum
from math import inf
from typing import Any

from ..extension import OnExit
from .kernel import duplicate, reset_on_close, unacknowledged, unread
from .lingering import FIRST_LOOK, LONGEST_WAIT, Discard, close_once_acknowledged


class State(Enum):
    """The state of a transport, and what it does."""

    OPEN = "nobody has begun to close it"
    HALF_CLOSED = "shuts down its sending side, and closes at `close` or when the peer is quiet"
    CLOSING = "shuts down when the peer is quiet, and closes once all is acknowledged"
    LINGERING = "shuts down when the peer is quiet, and waits for the peer's FIN"
    HURRYING = "shuts down, and closes once all is acknowledged"
    LOST = "is gone"


class Step(Enum):
    """A call that changes the state."""

    WRITE_EOF = "write_eof"
    CLOSE = "close"
    LINGER = "linger"
    HURRY = "hurry"
    LOST = "lost"


TRANSITIONS: Mapping[State, Mapping[Step, State]] = {
    State.OPEN: {
        Step.WRITE_EOF: State.HALF_CLOSED,
        Step.CLOSE: State.CLOSING,
        Step.LINGER: State.LINGERING,
        Step.LOST: State.LOST,
    },
    State.HALF_CLOSED: {
        Step.CLOSE: State.HURRYING,
        Step.HURRY: State.HURRYING,
        Step.LOST: State.LOST,
    },
    State.CLOSING: {Step.HURRY: State.HURRYING, Step.LOST: State.LOST},
    State.LINGERING: {Step.HURRY: State.HURRYING, Step.LOST: State.LOST},
    State.HURRYING: {Step.LOST: State.LOST},
    State.LOST: {},
}
"""A call that is not here changes nothing: a server may close what has been closed."""


class BoundedTransport:
    """Stands before a connection's transport; its `close` ends within `close_timeout` seconds.

    The calls made for each message are the transport's own bound methods, so it costs them
    nothing.

    Args:
        transport: The connection's own transport.
        loop: The event loop it belongs to.
        on_closing: Called once, when the server or the peer begins to close the connection.
        on_end: Called when nothing can be written any more, so that nobody waits to write.

    Attributes:
        on_exit: Closes the connection when the server exits; `None` if the server does.
        close_timeout: In seconds, for a close that has not begun.
        state: Changes as `TRANSITIONS` says.
    """

    __slots__ = (
        "_abort_timer",
        "_deadline",
        "_duplicate",
        "_eof_written",
        "_loop",
        "_next_look",
        "_on_closing",
        "_on_end",
        "_peer_sends",
        "_poll_timer",
        "_transport",
        "close_timeout",
        "is_closing",
        "on_exit",
        "pause_reading",
        "resume_reading",
        "state",
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
        self.on_exit: OnExit | None = None
        self.state = State.OPEN
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
        self._eof_written = False
        self._peer_sends = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    # The server and the endpoint call these.

    def close(self) -> None:
        """Flush and close, but not before the peer has acknowledged everything."""
        if self.state is State.HALF_CLOSED:
            self._hurry(Step.CLOSE)
        else:
            self._close(Step.CLOSE)

    def write_eof(self) -> None:
        """Flush, shut down the sending side, and close: once the peer sends no more, or at `close`.

        Closed without that, a socket with something unread sends RST in place of a FIN.
        """
        self._close(Step.WRITE_EOF)

    def linger(self) -> None:
        """Flush, shut down the sending side, and wait for the peer's FIN.

        TLS has no half-close, but its transport waits for the peer's close_notify.
        """
        self._close(Step.LINGER)

    def hurry(self) -> bool:
        """Do not linger; return whether the connection is closing at all."""
        self._hurry(Step.HURRY)
        return self.is_closing()

    def announce_exit(self, grace: float) -> bool:
        """The server exits in `grace` seconds; return whether somebody else closes until then."""
        on_exit, self.on_exit = self.on_exit, None
        if on_exit is None or self.is_closing():
            return False
        try:
            on_exit(grace)
        except Exception as exc:  # it must not keep the server from telling others
            message = "on_exit raises, so the server closes the connection by itself"
            self._loop.call_exception_handler({"message": message, "exception": exc})
            return False
        return True

    def close_at_exit(self, close: Callable[[], object]) -> None:
        """The server exits: call `close`, unless the connection is closing, and do not linger."""
        if not self.hurry():
            close()
            self.hurry()

    def abort_after(self, timeout: float) -> None:
        """Abort TCP at the latest in `timeout` seconds; the first such call counts."""
        if self._abort_timer is None and self.state is not State.LOST:
            # In an empty context: that of the application would be kept for as long.
            self._abort_timer = self._loop.call_later(timeout, self.abort, context=Context())
            self._deadline = self._loop.time() + timeout
            if not self._transport.can_write_eof():
                self._duplicate = duplicate(self._transport.get_extra_info("socket"))
            self._on_closing()

    def abort(self) -> None:
        """Free the descriptor and what the kernel holds, at once: the peer gets RST."""
        if self.state is not State.LOST:
            reset_on_close(self._transport.get_extra_info("socket"))
            self._transport.abort()

    # The transport tells of these, by way of its protocol.

    def received(self) -> None:
        """The peer still sends, which is discarded."""
        self._peer_sends = self.state is not State.HURRYING

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
        # The event loop closes it now. Closed twice, asyncio's TLS transport could not be aborted.
        self._go(Step.CLOSE)
        self.abort_after(self.close_timeout)
        self._stop_writing()
        return False

    def lost(self) -> None:
        """The connection is gone."""
        if not self._go(Step.LOST):
            return
        self._stop_writing()
        for timer in self._abort_timer, self._poll_timer:
            if timer is not None:
                timer.cancel()
        if self._duplicate is not None:
            close_once_acknowledged(self._duplicate, self._loop, self._deadline)

    # The steps of a close.

    def _go(self, step: Step) -> bool:
        """Change the state; return whether this step does."""
        state = TRANSITIONS[self.state].get(step)
        if state is None:
            return False
        self.state = state
        return True

    def _close(self, step: Step) -> None:
        if step not in TRANSITIONS[self.state]:
            return  # uvloop's transports raise once they are closed
        wait = step is not Step.CLOSE or self._must_wait()
        self._go(step)
        self.abort_after(self.close_timeout)
        self._stop_writing()
        if unread(self._transport.get_extra_info("socket")):
            self.received()
        self._transport.resume_reading()
        self._transport.set_protocol(Discard(self, self._transport.get_protocol()))
        if wait and self._transport.can_write_eof():
            self._transport.set_write_buffer_limits(0)  # it tells when everything is written
            self._go_on()
        else:
            self._transport.close()

    def _hurry(self, step: Step) -> None:
        if self._go(step):
            self._peer_sends = False
            if self._transport.can_write_eof():
                self._next_look = FIRST_LOOK
                self._go_on()

    def _go_on(self) -> None:
        """Take the next step of a close that has to wait, of TCP without TLS."""
        if self.state is State.LOST:
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
        elif self.state is not State.LINGERING:
            self._transport.close()

    def _may_write_eof(self) -> bool:
        if self._eof_written or self._transport.get_write_buffer_size():
            return False  # asyncio would do it later, where nobody can catch what it raises
        # Some clients break at a FIN that they get in the midst of what they send.
        return self.state is State.HALF_CLOSED or not self._peer_sends

    def _must_wait(self) -> bool:
        """Whether closing now would orphan data in the kernel."""
        # A TLS transport keeps its descriptor anyway; and closed twice, asyncio's cannot abort.
        if not self._transport.can_write_eof():
            return False
        if self._transport.get_write_buffer_size():
            return True
        return unacknowledged(self._transport.get_extra_info("socket")) > 0

    def _stop_writing(self) -> None:
        self.write = self.pause_reading = self.resume_reading = _ignore
        self.is_closing = _yes
        self._on_end()


def _ignore(*args: object) -> None:
    pass


def _yes() -> bool:
    return True
