"""What makes a server speak the `websocket.ping` extension: one module or package per server.

Each is named after the server's own package, is imported only when that server is the one
running, and has a function `attach(owner, receive, send)`. `owner` is something that the
server's `send` or `receive` is made of. It returns a `Server` that passes the application's own
events on to the given `send`; or a sentence that tells the user what to do, if that server gives
no access to its frames; or `None` if `owner` is not what the module knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
from collections.abc import Callable
from typing import Any

from ..extension import (
    EXTENSION,
    FailEvent,
    OnPong,
    PingEvent,
    Receive,
    Scope,
    Send,
    Server,
    Traffic,
)
from ..stepping import run_at_once
from .advice import SERVERS, Advice, advise
from .origins import modules, owners

Attach = Callable[[Any, Receive, Send], Server | str | None]

ADAPTERS = {server for server, known in SERVERS.items() if known.oldest}
"""The servers that have a module here."""

OURS = __name__.partition(".")[0]
"""The package of the classes that uvicorn can be started with."""

logger = logging.getLogger(OURS)


def extend(scope: Scope, receive: Receive, send: Send) -> Server | Advice:
    """Return what speaks the extension, or else why nothing does and what the user can do.

    A server that declares the extension itself is left alone by the adapters here. But where it
    is a class of ours that declares it, and can be found, nothing in between can delay what its
    adapter does.
    """
    is_declared = EXTENSION in (scope.get("extensions") or {})
    declined = ""
    for owner in owners(send, receive):
        packages = {module.partition(".")[0] for module in modules(owner)}
        if is_declared and OURS not in packages:
            continue
        for package in packages & ADAPTERS:
            attached = _attach(package, owner, receive, send)
            if isinstance(attached, Server):
                return attached
            declined = declined or attached or ""
    return declared(scope, receive, send) if is_declared else advise(receive, send, declined)


def declared(scope: Scope, receive: Receive, send: Send) -> Server:
    """Return what speaks the extension by its events, which a server has declared."""
    loop = asyncio.get_running_loop()
    tell = (scope["extensions"][EXTENSION] or {}).get("traffic", Traffic)

    def ping(payload: bytes, on_pong: OnPong) -> None:
        event: PingEvent = {"type": "websocket.ping", "bytes": payload, "on_pong": on_pong}
        run_at_once(send(event), loop)

    def fail(code: int, reason: str, timeout: float) -> None:
        event: FailEvent = {
            "type": "websocket.close",
            "code": code,
            "reason": reason,
            "timeout": timeout,
        }
        run_at_once(send(event), loop)

    def traffic() -> Traffic:
        with contextlib.suppress(Exception):  # it is evidence of a failure, no reason for another
            told: Traffic = tell()
            return {**told}
        return {}

    return Server(receive, send, send, ping, fail, traffic)


def _attach(package: str, owner: Any, receive: Receive, send: Send) -> Server | str | None:
    """Let the adapter of a server make a connection speak the extension, if it can."""
    # Nothing that it uses of a server's inside is documented. Whatever that has become, the
    # application shall run.
    try:
        return _adapter(package)(owner, receive, send)
    except Exception:
        logger.debug("%s is not as expected", package, exc_info=True)
        return None


@functools.cache
def _adapter(package: str) -> Attach:
    """Return `attach` of the module here that is named after a server's package."""
    try:
        attach: Attach = importlib.import_module(f"{__name__}.{package}").attach
    except Exception:  # something that it imports is not where it was, and will not be
        logger.debug("%s is not as expected", package, exc_info=True)
        return lambda owner, receive, send: None
    return attach
