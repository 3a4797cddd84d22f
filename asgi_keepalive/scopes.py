"""The `Keepalive` in a scope: it is put there, and found there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import hints
from .extension import EXTENSION, Scope
from .state import Keepalive
from .text import shown

KEY = "keepalive"
"""The key in `scope["state"]`."""


def with_keepalive(scope: Scope, keepalive: Keepalive) -> Scope:
    """Return the application's scope: with its `Keepalive`, without the extension."""
    if scope.get("state") is None:
        scope = {**scope, "state": {}}
    scope["state"][KEY] = keepalive
    if EXTENSION in (scope.get("extensions") or {}):
        rest = {k: v for k, v in scope["extensions"].items() if k != EXTENSION}
        scope = {**scope, "extensions": rest}
    return scope


def find_keepalive(scope: Mapping[str, Any]) -> Keepalive | None:
    """Return the scope's `Keepalive`, or `None` if there is none.

    Raises:
        TypeError: Something else stands in its place.
    """
    found = (scope.get("state") or {}).get(KEY)
    if found is None or isinstance(found, Keepalive):
        return found
    raise TypeError(
        f'scope["state"]["{KEY}"] is the place of KeepaliveMiddleware, but it holds {shown(found)}'
    )


def get_keepalive(connection: hints.Connection) -> Keepalive:
    """Return the `Keepalive` of an ASGI scope, or of an object that has one as `.scope`.

    It is a dependency of FastAPI, too: `Depends(get_keepalive)`.

    Example::

        keepalive = get_keepalive(scope)
        keepalive = get_keepalive(websocket)  # or a consumer of Channels

    Raises:
        LookupError: This is no WebSocket connection, or `KeepaliveMiddleware` is not around this
            application.
        TypeError: Something else stands in its place, or this is neither a scope nor has one.
    """
    scope = connection if isinstance(connection, Mapping) else getattr(connection, "scope", None)
    if not isinstance(scope, Mapping):
        raise TypeError(
            "get_keepalive takes an ASGI scope, or an object that has one as .scope, "
            f"not {shown(connection)}"
        )
    keepalive = find_keepalive(scope)
    if keepalive is None:
        raise LookupError(_why_none(scope))
    return keepalive


def _why_none(scope: Mapping[str, Any]) -> str:
    kind = scope.get("type", "websocket")
    if kind != "websocket":
        return (
            f"only WebSocket connections have a keepalive, and the type of this scope is {kind!r}: "
            "call get_keepalive for a WebSocket"
        )
    return (
        "there is no keepalive in this scope, as KeepaliveMiddleware is not around the "
        "application: say app.add_middleware(KeepaliveMiddleware) or KeepaliveMiddleware(app)"
    )
