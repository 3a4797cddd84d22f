"""What makes a server speak the `websocket.ping` extension: one module or package per server.

Each is named after the server's own package, is imported only when that server is the one
running, and has a function `attach(owner, receive, send)`. `owner` is the object that the
server's `send` or `receive` is bound to. It returns a `Server` that passes the application's own
events on to the given `send`, or `None` if the server's inside is not what the module knows.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
from types import ModuleType

from ..extension import EXTENSION, FailEvent, OnPong, PingEvent, Receive, Scope, Send, Server
from ..stepping import run_at_once


def extend(scope: Scope, receive: Receive, send: Send) -> Server | None:
    """Return what speaks the extension, or `None` if this server cannot.

    What is found from the bound `send` or `receive` is preferred to the `send` of a server that
    declares the extension itself, as nothing in between can delay it or drop its events.
    """
    for call in send, receive:
        owner = getattr(call, "__self__", None)
        for cls in type(owner).__mro__:
            adapter = _adapter(cls.__module__.partition(".")[0])
            attached: Server | None = adapter.attach(owner, receive, send) if adapter else None
            if attached is not None:
                return attached
    return declared(receive, send) if EXTENSION in (scope.get("extensions") or {}) else None


def declared(receive: Receive, send: Send) -> Server:
    """Return what speaks the extension by its events, which a server has declared."""
    loop = asyncio.get_running_loop()

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

    return Server(receive, send, send, ping, fail)


@functools.cache
def _adapter(package: str) -> ModuleType | None:
    """Return the module here that is named after the package that defines a server's class."""
    name = f"{__name__}.{package}"
    if importlib.util.find_spec(name) is None:
        return None
    module = importlib.import_module(name)
    return module if hasattr(module, "attach") else None
