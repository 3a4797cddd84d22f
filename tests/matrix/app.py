"""The application that each server runs; its stdout says what happened to it.

The first part of a path says what the application does with the connection (`PARTS`), the
whole path is the connection's name. Times are monotonic seconds: the same clock as the client's.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from asgi_keepalive import KeepaliveMiddleware

from .servers import UNREAD

INTERVAL, TIMEOUT, CLOSE_TIMEOUT = (
    float(os.environ[name]) for name in ("PING_INTERVAL", "PING_TIMEOUT", "CLOSE_TIMEOUT")
)
CHUNK = bytes(65536)


class Connection(NamedTuple):
    """An accepted connection, as its part of the application sees it."""

    name: str
    receive: Callable[[], Awaitable[Any]]
    send: Callable[[Any], Awaitable[None]]
    keepalive: Any

    def tell(self, **what: Any) -> None:
        # In one piece: the workers of a server share its stdout.
        os.write(1, json.dumps({"name": self.name, **what}).encode() + b"\n")


async def listen(connection: Connection) -> None:
    """Receive all there is, and tell it; stand still with the whole event loop if asked to."""
    while True:
        event = await connection.receive()
        if event["type"] == "websocket.disconnect":
            connection.tell(ended=time.monotonic(), code=event.get("code"))
            return
        if event.get("text") == "stall":
            connection.tell(stalled=time.monotonic())
            time.sleep(2 * TIMEOUT)  # noqa: ASYNC251 - that is the point
        elif event.get("text"):
            connection.tell(text=event["text"])


async def stream(connection: Connection) -> None:
    """Send without end, and receive; tell when neither goes on."""
    listening = asyncio.create_task(listen(connection))
    async with asyncio.timeout(INTERVAL + TIMEOUT + 4):
        with suppress(Exception):
            while not listening.done():
                await connection.send({"type": "websocket.send", "bytes": CHUNK})
                # Some servers take in all there is, and never make the application wait.
                await asyncio.sleep(0.005)
        connection.tell(released=time.monotonic())
        await listening


async def send_only(connection: Connection) -> None:
    """Send without end, and never receive; tell when it fails."""
    async with asyncio.timeout(INTERVAL + TIMEOUT + 4):
        try:
            while True:
                await connection.send({"type": "websocket.send", "text": "tick"})
                await asyncio.sleep(0.05)
        except Exception:
            # Not always an OSError: for a moment uvicorn's own is a RuntimeError.
            connection.tell(ended=time.monotonic())


async def work(connection: Connection) -> None:
    """Leave messages unread for longer than a Ping and its timeout take; tell how many came."""
    await asyncio.sleep(2 * (INTERVAL + TIMEOUT))
    received = 0
    while received < UNREAD and (await connection.receive())["type"] == "websocket.receive":
        received += 1
    connection.tell(received=received)
    if received == UNREAD:
        await listen(connection)


async def give_up(connection: Connection) -> None:
    """Send to a frozen client for a short time, and return."""
    with suppress(Exception):
        async with asyncio.timeout(0.3):
            for _ in range(128):
                await connection.send({"type": "websocket.send", "bytes": CHUNK})
    connection.tell(returned=time.monotonic())


async def measure(connection: Connection) -> None:
    """Tell the latency when asked, if anything knows it."""
    await connection.receive()
    connection.tell(latency=getattr(connection.keepalive, "latency", None))
    await listen(connection)


PARTS = {
    "listen": listen,
    "stream": stream,
    "send-only": send_only,
    "work": work,
    "give-up": give_up,
    "measure": measure,
    "stream-unwatched": stream,
}
UNWATCHED = ("give-up", "stream-unwatched")
"""Here no heartbeat may come to help: the middleware has an interval that never passes."""


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Accept, and tell whether anything watches the connection."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": (await receive())["type"] + ".complete"})
        return
    name = scope["path"].strip("/")
    keepalive = (scope.get("state") or {}).get("keepalive")
    connection = Connection(name, receive, send, keepalive)
    await receive()
    connection.tell(opened=time.monotonic(), supported=getattr(keepalive, "supported", None))
    await send({"type": "websocket.accept"})
    with suppress(TimeoutError):
        await PARTS[name.partition("/")[0]](connection)


watched = KeepaliveMiddleware(
    application, ping_interval=INTERVAL, ping_timeout=TIMEOUT, close_timeout=CLOSE_TIMEOUT
)
unwatched = KeepaliveMiddleware(application, close_timeout=CLOSE_TIMEOUT)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Put the middleware around the application, unless the server's own keepalive is tried."""
    wrapped: Any = watched
    if "OWN" in os.environ:
        wrapped = application
    elif scope.get("path", "").startswith(tuple(f"/{part}" for part in UNWATCHED)):
        wrapped = unwatched
    await wrapped(scope, receive, send)
