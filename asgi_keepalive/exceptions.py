"""Errors that this library raises into an application."""

from __future__ import annotations


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
