"""One handler for every framework; it tells stdout what became of each connection.

/receive    receives until the end
/stream     sends as fast as it may, and receives nothing
/close      returns one message, and closes with 4000
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, Protocol

from asgi_keepalive import Keepalive, get_keepalive


class Connection(Protocol):
    """A connection, as Starlette and Litestar offer it."""

    async def accept(self) -> None: ...
    async def receive_text(self) -> str: ...
    async def send_text(self, text: str) -> None: ...
    async def send_bytes(self, data: bytes) -> None: ...
    async def close(self, code: int) -> None: ...


def tell(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


async def handle(path: str, connection: Connection, keepalive: Keepalive) -> None:
    """Handle a connection, and tell what it came to."""
    code: Any = None
    try:
        await connection.accept()
        if path == "close":
            await connection.send_text(await connection.receive_text())
            await connection.close(4000)
        while path == "receive":
            await connection.receive_text()
        while path == "stream":
            await connection.send_bytes(bytes(65536))
    except Exception as end:
        code = getattr(end, "code", type(end).__name__)
    except asyncio.CancelledError:
        code = "cancelled"  # how Quart tells of the end
        raise
    finally:
        tell(path=path, supported=keepalive.supported, code=code, timed_out=keepalive.timed_out)


class Bare:
    """A connection of a bare application."""

    def __init__(self, receive: Any, send: Any) -> None:
        self._receive = receive
        self._send = send

    async def accept(self) -> None:
        await self._receive()
        await self._send({"type": "websocket.accept"})

    async def receive_text(self) -> str:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise Left(event["code"])
        text: str = event["text"]
        return text

    async def send_text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        await self._send({"type": "websocket.send", "bytes": data})

    async def close(self, code: int) -> None:
        await self._send({"type": "websocket.close", "code": code})


class Left(Exception):
    """The connection has ended."""

    def __init__(self, code: int) -> None:
        self.code = code


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """A bare application."""
    path = scope["path"].rpartition("/")[2]
    await handle(path, Bare(receive, send), get_keepalive(scope))
