"""Lines of the log about a connection."""

from __future__ import annotations

import dataclasses
import logging
from urllib.parse import quote

from .extension import Scope
from .text import cut
from .verdict import Verdict

logger = logging.getLogger("asgi_keepalive")

LEVELS = {"silent": logging.INFO, "frozen": logging.INFO, "refused": logging.ERROR}
"""The level of the line that tells of a failure, by its reason; for others it is a warning."""


def client(scope: Scope) -> str:
    """Return the address of a connection's client, which a proxy's header may have told."""
    address = scope.get("client")
    return _quoted("{}:{}".format(*address), ":[]%") if address else "unknown client"


def path(scope: Scope) -> str:
    """Return a connection's path, cut if it is long."""
    return cut(scope.get("path", ""))


def name(scope: Scope) -> str:
    """Return a connection's client address and path."""
    return f"{client(scope)} {_quoted(scope.get('path', ''), '/')}"


def _quoted(text: str, safe: str) -> str:
    """Return the text so that it cannot forge a line of the log, nor fill it."""
    # It is cut before, too: to quote a path of 64 KiB takes some milliseconds.
    return cut(quote(cut(text), safe, errors="backslashreplace"))


def failed(scope: Scope, verdict: Verdict, latency: float | None) -> None:
    """Report that a connection has been failed: a warning if it may not have been the peer's fault.

    It is an error if the server refuses its Pings. The record's attribute `keepalive` is a
    dictionary with the client, the path, the latency and the verdict.

    Args:
        scope: The connection's ASGI scope.
        verdict: Why it has been failed.
        latency: The last round-trip time in seconds, if any.
    """
    level = LEVELS.get(verdict.reason, logging.WARNING)
    if not logger.isEnabledFor(level):  # thousands may fail at once
        return
    told = {"client": client(scope), "path": path(scope), "latency": latency}
    extra = {"keepalive": {**told, **dataclasses.asdict(verdict)}}
    if verdict.reason == "refused":
        logger.error("%s: failed; %s", name(scope), verdict, extra=extra)
        return
    logger.log(
        level,
        "%s: keepalive ping timeout, no Pong for %.3g s, last latency %s; %s",
        name(scope),
        verdict.waited,
        "unknown" if latency is None else f"{latency:.3g} s",
        verdict,
        extra=extra,
    )
