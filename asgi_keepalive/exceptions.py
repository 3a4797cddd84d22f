"""Errors that this library raises into an application."""

from __future__ import annotations


class KeepaliveError(Exception):
    """Base of every error defined here.

    Example::

        try:
            await keepalive.ping()
        except KeepaliveError as error:
            print(error)
    """


class PingTimeout(KeepaliveError, TimeoutError):
    """A Ping sent by `Keepalive.ping` was not answered within `ping_timeout`.

    The connection stays open: only the keepalive's own Ping can fail it.

    Example::

        with contextlib.suppress(PingTimeout):
            await keepalive.ping()
    """


class ConnectionClosed(KeepaliveError, ConnectionError):
    """The connection is not open: not yet accepted, closing, or closed.

    Example::

        try:
            await keepalive.ping()
        except ConnectionClosed:
            print("gone")
    """


class KeepaliveUnsupported(KeepaliveError):
    """The server gives no access to Ping and Pong frames.

    Example::

        try:
            latency = await keepalive.ping()
        except KeepaliveUnsupported:
            latency = None
    """
