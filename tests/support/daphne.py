"""The connections of daphne's, as its tests look at them."""

from __future__ import annotations

from typing import Any

from daphne.ws_protocol import WebSocketProtocol  # type: ignore[import-untyped]


def connection_of(send: Any) -> Any:
    """Return the connection that an application's `send` is made of."""
    return send.args[0]


def connection_to(server: Any) -> Any:
    """Return the only connection of a server."""
    [connection] = [one for one in server._server.connections if isinstance(one, WebSocketProtocol)]
    return connection
