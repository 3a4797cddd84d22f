"""An application and a server that do nothing, and what the middleware says of such a server."""

from __future__ import annotations

from typing import Any

UNSUPPORTED = (
    "keepalive is off: receive and send come from {}, and not from a server that gives access to "
    "its Ping and Pong frames. uvicorn, hypercorn, daphne and gunicorn do: on one of them, "
    "put KeepaliveMiddleware around everything else"
)


async def unused(*args: Any) -> Any:
    raise AssertionError("never called")


class Recorder:
    """An application that only notes what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append((scope, receive, send))
