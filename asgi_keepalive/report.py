"""What the log says about a connection."""

from __future__ import annotations

import logging
from urllib.parse import quote

from .extension import Scope

logger = logging.getLogger("asgi_keepalive")


def name(scope: Scope) -> str:
    """Return a connection's client address and path."""
    client = scope.get("client")
    address = "{}:{}".format(*client) if client else "unknown client"
    # Quoted, for a path cannot then forge a line of the log.
    return f"{address} {quote(scope.get('path', ''))}"


def timed_out(
    scope: Scope,
    *,
    waited: float,
    latency: float | None,
    paused: float | None,
    stalled: bool,
) -> None:
    """Report that a connection has been failed: a warning if it may not have been the peer's fault.

    Args:
        scope: The connection's ASGI scope.
        waited: How long the Pong was awaited, in seconds.
        latency: The last round-trip time in seconds, if any.
        paused: How long the server had not been reading, in seconds, if it was not.
        stalled: Whether the event loop had stood still.
    """
    reasons = []
    if paused is not None:
        reasons.append(
            "; the application was behind: its unread messages have kept the server from reading "
            f"for {paused:.3g} s"
        )
    if stalled:
        reasons.append("; the event loop had stood still")
    logger.log(
        logging.WARNING if reasons else logging.INFO,
        "%s: keepalive ping timeout, no Pong for %.3g s, last latency %s%s",
        name(scope),
        waited,
        "unknown" if latency is None else f"{latency:.3g} s",
        "".join(reasons),
    )
