"""Errors that this library raises into an application."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .state import Keepalive
    from .verdict import Verdict


class KeepaliveError(Exception):
    """Base of every error defined here."""


class PingTimeout(KeepaliveError, TimeoutError):
    """A Ping sent by `Keepalive.ping` was not answered within `ping_timeout`.

    The connection stays open: only the keepalive's own Ping can fail it.
    """


class ConnectionClosed(KeepaliveError, ConnectionError):
    """The connection is not open: not yet accepted, closing, or closed."""


class KeepaliveUnsupported(KeepaliveError):
    """The server gives no access to Ping and Pong frames."""


class KeepaliveTimeout(KeepaliveError, ConnectionError):
    """The connection has been failed because its peer did not answer a Ping in time.

    Raised by the application's `send` and by `Keepalive.ping`, from the instant of failure and
    for ever after. It is an `OSError`, as ASGI asks of `send` on a closed connection, and not a
    `TimeoutError`, which code around `asyncio.wait_for` would take for its own.

    Attributes:
        keepalive: What `scope["state"]["keepalive"]` holds for the failed connection.
    """

    def __init__(self, keepalive: Keepalive) -> None:
        super().__init__(f"keepalive ping timeout, {keepalive.verdict}")
        self.keepalive = keepalive

    @property
    def verdict(self) -> Verdict:
        """Why the connection has been failed, with the evidence."""
        verdict = self.keepalive.verdict
        assert verdict is not None  # it is there before anything raises this
        return verdict
