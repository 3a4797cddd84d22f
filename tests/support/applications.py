"""Applications, and parts of them, for servers in a thread of the test's own process."""

from __future__ import annotations

import asyncio
from typing import Any

from asgi_keepalive import KeepaliveTimeout


async def accept(receive: Any, send: Any, **keys: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", **keys})


async def lifespan(receive: Any, send: Any) -> None:
    """Agree to start and to exit."""
    for done in "startup", "shutdown":
        await receive()
        await send({"type": f"lifespan.{done}.complete"})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


async def stream(send: Any) -> KeepaliveTimeout:
    """Send until the connection has been failed; return what `send` raised."""
    try:
        while True:
            await send({"type": "websocket.send", "bytes": bytes(65536)})
            await asyncio.sleep(0)
    except KeepaliveTimeout as error:
        return error


async def code_at_exit(receive: Any) -> Any:
    """Return the disconnect's code; the others may cancel their applications instead."""
    try:
        return (await receive())["code"]
    except asyncio.CancelledError:
        return "cancelled"


TIMES_OUT = """
from asgi_keepalive import KeepaliveMiddleware

async def app(scope, receive, send):
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    await receive()

app = KeepaliveMiddleware(app, ping_interval=0.1, ping_timeout=0.1, close_timeout=0.1)
"""
"""The source of an application whose silent clients time out at once."""


async def until_told(scope: Any, receive: Any, send: Any) -> None:
    """It returns when it is told of the end."""
    await accept(receive, send)
    while (await receive())["type"] != "websocket.disconnect":
        pass
