"""What the log says about a connection."""

from __future__ import annotations

import dataclasses
import logging
from urllib.parse import quote

from .extension import Scope
from .verdict import Verdict

logger = logging.getLogger("asgi_keepalive")


def client(scope: Scope) -> str:
    """Return the address of a connection's client."""
    address = scope.get("client")
    return "{}:{}".format(*address) if address else "unknown client"


def name(scope: Scope) -> str:
    """Return a connection's client address and path."""
    # Quoted, for a path cannot then forge a line of the log.
    return f"{client(scope)} {quote(scope.get('path', ''))}"


def timed_out(scope: Scope, verdict: Verdict, latency: float | None) -> None:
    """Report that a connection has been failed: a warning if it may not have been the peer's fault.

    The record's attribute `keepalive` is a dictionary of all there is to know.

    Args:
        scope: The connection's ASGI scope.
        verdict: Why.
        latency: The last round-trip time in seconds, if any.
    """
    logger.log(
        logging.INFO if verdict.reason in ("silent", "frozen") else logging.WARNING,
        "%s: keepalive ping timeout, no Pong for %.3g s, last latency %s; %s",
        name(scope),
        verdict.waited,
        "unknown" if latency is None else f"{latency:.3g} s",
        verdict,
        extra={
            "keepalive": {
                "client": client(scope),
                "path": scope.get("path", ""),
                "latency": latency,
                **dataclasses.asdict(verdict),
            }
        },
    )
