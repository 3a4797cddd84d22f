"""A transport that notes what is done to it, and one with bounds in front of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from asgi_keepalive.endpoint.closing import BoundedTransport

from .fake_loop import elapsed, fake_loop


class ClosingSocket(socket.socket):
    """Closes itself when nobody has it any more, and does not warn of that."""

    def __del__(self) -> None:
        self.close()


class FakeTransport(asyncio.Transport):
    """Notes what is done to it, and when.

    Args:
        can_write_eof: False is for TLS.
        buffered: So many bytes wait to be sent.
        sock: Its socket.
        tls: Whether it has a context of TLS.
    """

    def __init__(
        self,
        *,
        can_write_eof: bool = True,
        buffered: int = 0,
        sock: socket.socket | None = None,
        tls: bool = False,
    ) -> None:
        super().__init__(
            {
                "peername": ("192.0.2.1", 50000),
                "socket": sock or ClosingSocket(),
                "sslcontext": object() if tls else None,
            }
        )
        self.calls: list[tuple[str, float]] = []
        self.written = b""
        self.buffered = buffered
        self.closing = False
        self.limit: int | None = None
        self.protocol: asyncio.BaseProtocol = asyncio.Protocol()
        self._can_write_eof = can_write_eof

    def names(self) -> list[str]:
        """Return the names of the calls."""
        return [name for name, _ in self.calls]

    def _called(self, name: str) -> None:
        self.calls.append((name, elapsed()))

    def close(self) -> None:
        self._called("close")

    def write_eof(self) -> None:
        self._called("write_eof")

    def linger(self) -> None:
        """Not of asyncio's: the endpoint's own transport, which stands before, can."""
        self._called("linger")

    def abort(self) -> None:
        self._called("abort")

    def pause_reading(self) -> None:
        self._called("pause_reading")

    def resume_reading(self) -> None:
        self._called("resume_reading")

    def write(self, data: Any) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limit = high

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return self._can_write_eof

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol


def bounded(
    transport: FakeTransport, on_closing: Callable[[], None] = lambda: None
) -> BoundedTransport:
    """Return what stands before a transport; a close takes it three seconds at most."""
    one = BoundedTransport(transport, fake_loop(), on_closing, lambda: None)
    one.close_timeout = 3
    return one
