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
import importlib.util
from collections.abc import Iterator
from types import FunctionType, ModuleType
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

UNSUPPORTED = (
    "this server gives no access to Ping and Pong frames, or something between it and "
    "KeepaliveMiddleware hides it. Put KeepaliveMiddleware around everything else, or run "
    "uvicorn with --ws asgi_keepalive.servers.uvicorn.sansio:KeepaliveProtocol"
)


def extend(scope: Scope, receive: Receive, send: Send) -> Server | str:
    """Return what speaks the extension, or else why nothing does and what the user can do.

    What is found from `send` or `receive` is preferred to the `send` of a server that declares
    the extension itself, as nothing in between can delay it or drop its events.
    """
    advice = ""
    for owner, package in _origins(send, receive):
        adapter = _adapter(package)
        attached: Server | str | None = adapter.attach(owner, receive, send) if adapter else None
        if isinstance(attached, Server):
            return attached
        advice = advice or attached or ""
    if EXTENSION in (scope.get("extensions") or {}):
        return declared(scope, receive, send)
    return advice or UNSUPPORTED


def _origins(*calls: Any) -> Iterator[tuple[Any, str]]:
    """Yield what callables are made of, with the names of the packages that define it."""
    for call in calls:
        if isinstance(call, functools.partial):
            yield from _origins(call.func)
            owners = call.args
        else:
            owners = (getattr(call, "__self__", call),)
        for owner in owners:
            if isinstance(owner, FunctionType):
                modules = [owner.__module__]
            else:
                modules = [cls.__module__ for cls in type(owner).__mro__]
            for module in modules:
                yield owner, module.partition(".")[0]


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


@functools.cache
def _adapter(package: str) -> ModuleType | None:
    """Return the module here that is named after the package that defines a server's class."""
    name = f"{__name__}.{package}"
    if importlib.util.find_spec(name) is None:
        return None
    module = importlib.import_module(name)
    return module if hasattr(module, "attach") else None
