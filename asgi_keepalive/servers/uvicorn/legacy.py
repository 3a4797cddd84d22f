"""uvicorn's `websockets` protocol, on that library's legacy implementation; both deprecated."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_impl import WebSocketProtocol
from websockets.frames import Opcode
from websockets.protocol import State

from ...extension import Event
from ..reading import MAX_BYTES, size
from . import shared
from .reading import max_unread

TOUCHED = (
    *shared.TOUCHED,
    "_drain_waiter",
    "_paused",
    "_put_message_waiter",
    "asgi_send",
    "connection_lost_waiter",
    "fail_connection",
    "handshake_completed_event",
    "max_queue",
    "messages",
    "read_frame",
    "read_message",
    "state",
    "write_close_frame",
    "write_frame_sync",
)
"""The undocumented attributes on which this module rests."""


TURN = 64
"""Frames that are read before others have their turn."""


class KeepaliveProtocol(shared.extended(WebSocketProtocol)):  # type: ignore[misc]
    """Serves the `websocket.ping` extension, which `docs/extension.md` specifies."""

    touched = TOUCHED
    _behind = False
    _in_turn = 0
    _drain_waiter: asyncio.Future[None] | None
    _put_message_waiter: asyncio.Future[None] | None

    async def asgi_send(self, message: Event) -> None:
        await self.extension.send(super().asgi_send, message)

    async def read_frame(self, max_size: int | None) -> Any:
        frame = await super().read_frame(max_size)
        if frame.opcode == Opcode.PONG:
            self.extension.pong(bytes(frame.data))
        elif frame.opcode == Opcode.CLOSE:
            # The answer to it may have to wait for a peer that reads nothing any more.
            self.transport.abort_after(self.transport.close_timeout)
        self._in_turn += 1
        if self._in_turn == TURN:
            self._in_turn = 0
            await asyncio.sleep(0)
        return frame

    # The task that reads waits while as many messages as this are unread.
    @property
    def max_queue(self) -> int:
        behind = self._is_behind()
        if behind is not self._behind:
            self._behind = behind
            self.extension.read_paused(behind)
        return 0 if behind and self.state is State.OPEN else len(self.messages) + 1

    @max_queue.setter
    def max_queue(self, value: int | None) -> None:
        self.__dict__["max_queue"] = value  # for the original, should this class not fit it

    def _is_behind(self) -> bool:
        """Whether too much is unread."""
        limit = max_unread(self)
        unread = len(self.messages)
        unread_bytes = sum(map(size, self.messages))
        if unread <= limit / 2 and unread_bytes <= MAX_BYTES / 2:
            return False
        return self._behind or unread >= limit or unread_bytes >= MAX_BYTES

    # Once the application has closed nothing may keep the peer's answer from being read.

    async def write_close_frame(self, close: Any, data: Any = None) -> None:
        waiter, self._put_message_waiter = self._put_message_waiter, None
        if waiter is not None:
            waiter.set_result(None)
        await super().write_close_frame(close, data)

    async def read_message(self) -> Any:
        message = await super().read_message()
        if self.state is not State.OPEN and self._is_behind():
            while message is not None:  # there is no room for more
                message = await super().read_message()
        return message

    # The original asserts that only one task at a time waits for the buffer to drain.
    async def _drain_helper(self) -> None:
        if self._paused and not self.connection_lost_waiter.done():
            if self._drain_waiter is None:
                self._drain_waiter = self.loop.create_future()
                # Perhaps nobody waits any more when it fails, and asyncio would log that.
                self._drain_waiter.add_done_callback(asyncio.Future.exception)
            # Not a shield: of one that is cancelled, Python 3.14 logs what the waiter raises.
            waiter = self._drain_waiter
            await asyncio.wait([waiter])
            waiter.result()
        else:
            await super()._drain_helper()

    # What the extension asks for.

    async def accepted(self) -> None:
        await self.handshake_completed_event.wait()

    def is_established(self) -> bool:
        return self.state is State.OPEN and not self.transport.is_closing()

    def write_ping(self, payload: bytes) -> None:
        self.write_frame_sync(True, Opcode.PING, payload)

    def write_close(self, code: int, reason: str) -> None:
        self.fail_connection(code, reason)

    def end(self) -> None:
        pass  # this protocol's own state is CLOSING by then, so its send raises
