"""A room in which no member, however slow or frozen, holds up the others.

    uvicorn examples.broadcast:app

Whatever one member sends to /ws, all of them get. PING_INTERVAL, PING_TIMEOUT and CLOSE_TIMEOUT in
the environment set how often to ask, how long to wait, and how long to flush. (One process only:
the members are in its memory.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.websockets import WebSocketState

from asgi_keepalive import KeepaliveMiddleware

BACKLOG = 100
"""How many messages may wait for one member."""

members: set[Member] = set()


class TooSlow(Exception):
    """A member is a whole backlog behind."""


class Member:
    """Somebody in the room. Only their own task waits for them, and it takes from their outbox."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._outbox: asyncio.Queue[str] = asyncio.Queue(BACKLOG)
        self._is_too_slow = asyncio.Event()

    def tell(self, text: str) -> None:
        """Queue a message, without waiting."""
        try:
            self._outbox.put_nowait(text)
        except asyncio.QueueFull:
            self._is_too_slow.set()

    async def take_part(self) -> None:
        """Receive and send until one of the two ends; no task is left then.

        Raises:
            ExceptionGroup: With `WebSocketDisconnect`, the member has left or timed out; or with
                `TooSlow`.
        """
        members.add(self)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive())
                tasks.create_task(self._send())
                await self._is_too_slow.wait()
                raise TooSlow
        finally:
            members.discard(self)

    async def _receive(self) -> None:
        # Starlette refuses to receive, with a RuntimeError, once `_send` has failed.
        while self._websocket.application_state is WebSocketState.CONNECTED:
            broadcast(await self._websocket.receive_text())

    async def _send(self) -> None:
        while True:
            await self._websocket.send_text(await self._outbox.get())


def broadcast(text: str) -> None:
    for member in members:
        member.tell(text)


app = FastAPI()
app.add_middleware(
    KeepaliveMiddleware,
    ping_interval=float(os.environ.get("PING_INTERVAL", 20)),
    ping_timeout=float(os.environ.get("PING_TIMEOUT", 20)),
    close_timeout=float(os.environ.get("CLOSE_TIMEOUT", 10)),
)


@app.websocket("/ws")
async def room(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        await Member(websocket).take_part()
    except* WebSocketDisconnect:
        pass
    except* TooSlow:
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.close(1013, "too slow")
