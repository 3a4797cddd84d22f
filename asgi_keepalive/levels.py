"""The extension of one server, at whatever level the server offers it.

`docs/extension.md` describes the levels, and says for each what is not promised without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from typing import cast

from .extension import OnClosing, OnExit, OnPong, OnReadPaused, Server, Traffic

BEYOND_LEVEL_1 = ("fail", "read_ahead", "bound_closing", "traffic", "announce_exit")
"""The functions of the further levels, one for each."""

RAISED = (Exception, asyncio.CancelledError)
"""A server's function may raise these; an `OSError` says that the connection is not open."""


_payloads: Iterator[tuple[bytes]] = iter(())


def new_payload() -> bytes:
    """Return a payload that nobody can predict, for the next Ping."""
    # Peers see it. From 624 numbers of `random` they could compute what an application draws next.
    # The system is asked for many at once, as a call of it takes longer than all the rest.
    global _payloads
    for (payload,) in _payloads:
        return payload
    _payloads = struct.iter_unpack("4s", os.urandom(4096))
    return new_payload()


class Levels:
    """Uses what a server offers, and does what can be done without the rest.

    Args:
        server: The server's side of the connection.

    Attributes:
        ping: The extension's `ping`.
    """

    __slots__ = ("_closing", "_server", "ping")

    def __init__(self, server: Server) -> None:
        self.ping: Callable[[bytes], None] = server.extension["ping"]
        self._closing: asyncio.Task[None] | None = None  # which asyncio does not keep
        self._server = server

    def take_over(
        self, on_pong: OnPong, on_closing: OnClosing, on_read_paused: OnReadPaused
    ) -> None:
        """Take the connection over, and let the server read ahead."""
        extension = self._server.extension
        if "read_ahead" in extension:
            extension["read_ahead"](on_read_paused)
        extension["take_over"](on_pong, on_closing)

    @property
    def missing(self) -> list[str]:
        """The functions that the server does not offer."""
        return [name for name in BEYOND_LEVEL_1 if name not in self._server.extension]

    def bound_closing(self, timeout: float) -> None:
        """Bound every ending of the connection, in seconds."""
        if "bound_closing" in self._server.extension:
            self._server.extension["bound_closing"](timeout)

    def announce_exit(self, on_exit: OnExit) -> bool:
        """Let the server tell of its exit; return whether it can."""
        with contextlib.suppress(*RAISED):  # KeyError, if it does not offer that
            self._server.extension["announce_exit"](on_exit)
            return True
        return False

    def traffic(self) -> Traffic:
        """Return how things stand with the peer; nothing if the server does not tell."""
        # It is evidence of a failure, and no reason for none.
        with contextlib.suppress(*RAISED):
            told: Traffic = self._server.extension["traffic"]()
            return cast(Traffic, {key: told.get(key) for key in Traffic.__annotations__})
        return {}

    @property
    def has_buffered(self) -> bool:
        """Whether the server holds written bytes; false if it does not tell."""
        with contextlib.suppress(*RAISED):
            return bool(self._server.extension["buffered"]())
        return False

    def fail(self, code: int, reason: str, timeout: float) -> None:
        """Fail the connection (RFC 6455 7.1.7), or end it as planned.

        At level 1 the Close frame goes out when the server lets it, and the socket is the server's
        affair.
        """
        if "fail" in self._server.extension:
            self._server.extension["fail"](code, reason, timeout)
        else:
            closing = self._close(code, reason, timeout)
            self._closing = asyncio.get_running_loop().create_task(closing)

    async def _close(self, code: int, reason: str, seconds: float) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(seconds):
                await self._server.send({"type": "websocket.close", "code": code, "reason": reason})
