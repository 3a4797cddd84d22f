"""The same server with the extension, as `docs/extension.md` describes it, level by level."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
import time
from asyncio import TimerHandle
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.frames import Close

from .page_server import Connection, Disconnected

AHEAD = 32, 1 << 20
"""So much may be unread where reading ahead has been asked for: messages, and bytes."""

TCP_CLOSE = 7
"""A state in Linux's `struct tcp_info`."""

LAST_DATA_RECV, BYTES_ACKED, NOTSENT_BYTES = 52, 120, 144
"""Offsets in that structure."""

LEVELS = (
    ("take_over", "ping"),
    ("fail",),
    ("read_ahead",),
    ("bound_closing",),
    ("traffic", "buffered"),
    ("announce_exit",),
)


class Declaring(Connection):
    """A connection that declares the functions up to `level`."""

    level: int
    taken_over = failed = holding = peer_left = False
    on_pong: Callable[[bytes, float], None] | None = None
    on_closing: Callable[[], None] | None = None
    on_read_paused: Callable[[bool, float], None] | None = None
    on_exit: Callable[[float], None] | None = None
    look_timer: TimerHandle | None = None
    bound: float | None = None

    @property
    def extension(self) -> dict[str, Any]:
        return {name: getattr(self, name) for names in LEVELS[: self.level] for name in names}

    def eof_received(self) -> bool:
        self.peer_left = True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.look_timer is not None:
            self.look_timer.cancel()

    def start_keepalive(self) -> None:
        if not self.taken_over:
            super().start_keepalive()

    def tell_of_pong(self, payload: bytes) -> None:
        if self.on_pong is not None:
            self.on_pong(payload, time.monotonic())

    def tell_of_closing(self) -> None:
        on_closing = self.on_closing
        self.drop_callbacks()
        if on_closing is not None:
            on_closing()

    def bound_end(self) -> None:
        if self.bound is None:
            super().bound_end()
        else:
            self.holding = True
            self.end_timer = self.loop.call_later(self.bound, self.expire)

    def finish(self) -> None:
        if self.holding:
            self.hold()
        else:
            super().finish()

    # Level 1.

    def take_over(
        self, on_pong: Callable[[bytes, float], None], on_closing: Callable[[], None]
    ) -> None:
        """Leave the keepalive to the caller."""
        if self.taken_over:
            raise RuntimeError("The keepalive has been taken over already.")
        self.taken_over = True
        if self.ping_timer is not None:
            self.ping_timer.cancel()
        if not self.closing:
            self.on_pong, self.on_closing = on_pong, on_closing
        elif not self.failed:
            on_closing()

    def ping(self, payload: bytes) -> None:
        """Write a Ping frame behind what is buffered."""
        if len(payload) > 125:
            raise ValueError("The payload of a Ping is longer than 125 bytes.")
        self.check_open()
        self.protocol.send_ping(payload)
        self.flush()

    def check_open(self) -> None:
        """Raise an `OSError` unless the handshake has ended and no closing has begun."""
        if self.closing or not self.accepted:
            raise Disconnected("The connection is not open.")

    def drop_callbacks(self) -> None:
        """Forget the callbacks of all levels."""
        self.on_pong = self.on_closing = self.on_read_paused = self.on_exit = None

    # Level 2.

    def fail(self, code: int, reason: str, timeout: float) -> None:
        """Fail the connection now, and reset what is left of it after the timeout."""
        try:
            Close(code, reason).check()
        except ProtocolError as exc:
            raise ValueError("A Close frame cannot have this code.") from exc
        if len(reason.encode()) > 123 or timeout < 0:
            raise ValueError("The reason is longer than 123 bytes, or the timeout is negative.")
        self.check_open()
        self.failed = self.deaf = self.holding = True
        self.drop_callbacks()
        self.protocol.fail(code, reason)
        self.flush()
        self.begin_closing()
        self.set_disconnect(code, reason)
        self.paused = False
        self.transport.resume_reading()
        if self.end_timer is not None:
            self.end_timer.cancel()
        self.end_timer = self.loop.call_later(timeout, self.reset)
        self.hold()

    def hold(self) -> None:
        """Shut sending down, and keep the descriptor until all is acknowledged and read."""
        with suppress(OSError):
            self.transport.write_eof()
        if self.look_timer is not None:
            self.look_timer.cancel()
        if self.peer_left and not self.unacknowledged():
            self.transport.close()
        else:
            self.look_timer = self.loop.call_later(0.5, self.hold)

    def unacknowledged(self) -> int:
        """Return how many bytes the peer has not acknowledged; a reset leaves none."""
        if self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE:
            return 0
        queued = fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, bytes(4))
        return self.transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)

    def reset(self) -> None:
        """Abort TCP, and leave nothing of it in the kernel."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # Level 3.

    def read_ahead(self, on_read_paused: Callable[[bool, float], None]) -> None:
        """Read ahead of the application from now on."""
        if not self.closing:
            self.bounds = AHEAD
            self.pace()
            self.on_read_paused = on_read_paused

    def tell_of_pause(self) -> None:
        """Reading has paused, or goes on."""
        if self.on_read_paused is not None:
            self.on_read_paused(self.paused, time.monotonic())

    # Level 4.

    def bound_closing(self, timeout: float) -> None:
        """Bound every ending of the connection that has not begun."""
        if timeout < 0:
            raise ValueError("The timeout is negative.")
        if not self.closing:
            self.bound = timeout

    def expire(self) -> None:
        """End the connection now, by a reset if anything is unacknowledged."""
        if self.unacknowledged():
            self.reset()
        else:
            self.transport.abort()

    # Level 5.

    def traffic(self) -> dict[str, float | None]:
        """Tell what is unsent, and when anything came from the peer."""
        if self.closing:
            return {}
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, NOTSENT_BYTES + 4)
        acknowledged, received = struct.unpack_from("QQ", info, BYTES_ACKED)
        (quiet,) = struct.unpack_from("I", info, LAST_DATA_RECV)
        (unsent,) = struct.unpack_from("I", info, NOTSENT_BYTES)
        return {
            "unsent": self.buffered() + unsent,
            "quiet": quiet / 1000,
            "acknowledged": acknowledged,
            "unacknowledged": self.unacknowledged(),
            "received": received,
        }

    def buffered(self) -> int:
        """Return what the transport holds."""
        return self.transport.get_write_buffer_size()

    # Level 6.

    def announce_exit(self, on_exit: Callable[[float], None]) -> None:
        """Leave the end of an open connection to the caller when the server exits."""
        if not self.closing:
            self.on_exit = on_exit

    def shut_down(self) -> None:
        """Tell of the exit, or end the connection."""
        if self.on_exit is None or not self.accepted:
            super().shut_down()
        else:
            self.on_exit(inf)
