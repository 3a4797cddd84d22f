"""uvicorn's `websockets` protocol, on that library's legacy implementation; both deprecated.

Its library reads in a task, and so it keeps its own reading. A connection that is joined is given
another class, which tells of Pongs, reads ahead, and lets no wait last. (Changing an object's class
needs a class with exactly one base, which both have.)
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from uvicorn.protocols.websockets.websockets_impl import WebSocketProtocol
from websockets.frames import Opcode
from websockets.protocol import State

from ...endpoint.adapter import Adapter
from ...endpoint.closing import BoundedTransport
from ...endpoint.endpoint import Endpoint, Functions
from ...endpoint.queue import MAX_BYTES, size
from ...extension import Event, Receive, Send, Server
from . import joining
from .newer import max_unread

TOUCHED = (
    *joining.TOUCHED,
    "_drain_waiter",
    "_paused",
    "_put_message_waiter",
    "asgi_send",
    "connection_lost_waiter",
    "fail_connection",
    "handshake_completed_event",
    "handshake_started_event",
    "initial_response",
    "max_queue",
    "messages",
    "read_frame",
    "read_message",
    "state",
    "write_close_frame",
)
"""The undocumented attributes on which this module rests."""

TURN = 64
"""Frames that are read before others have their turn."""


class LegacyAdapter(Adapter):
    """A connection of this protocol."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.loop = protocol.loop
        self.transport = protocol.transport

    def use_transport(self, transport: BoundedTransport) -> None:
        self.transport = self.protocol.transport = transport

    def stop_keepalive(self) -> None:
        self.protocol.ping_interval = None
        task = getattr(self.protocol, "keepalive_ping_task", None)
        if task is not None:  # the application has accepted before
            task.cancel()

    def is_open(self) -> bool:
        return self.protocol.state is State.OPEN and not self.transport.is_closing()

    def write_close(self, code: int, reason: str) -> None:
        self.protocol.fail_connection(code, reason)

    def failed(self, code: int, reason: str) -> None:
        pass  # this protocol's own state is CLOSING by then

    def end_writing(self) -> None:
        pass  # so its send raises


class JoinedProtocol(WebSocketProtocol):
    """A connection of this protocol that has been joined with an endpoint."""

    transport: Any
    endpoint: Endpoint
    _behind = False
    _in_turn = 0
    _drain_waiter: asyncio.Future[None] | None
    _put_message_waiter: asyncio.Future[None] | None

    async def read_frame(self, max_size: int | None) -> Any:
        # The library tells nobody of Pongs, nor others of a peer that sends all the time.
        frame = await super().read_frame(max_size)
        if frame.opcode == Opcode.PONG:
            self.endpoint.pong(bytes(frame.data))
        elif frame.opcode == Opcode.CLOSE:
            # The answer to it may have to wait for a peer that reads nothing any more.
            self.transport.abort_after(self.transport.close_timeout)
        self._in_turn += 1
        if self._in_turn == TURN:
            self._in_turn = 0
            await asyncio.sleep(0)
        return frame

    @property
    def max_queue(self) -> int:  # type: ignore[override]
        # The task that reads waits while as many messages as this are unread.
        behind = self._is_behind()
        if behind is not self._behind:
            self._behind = behind
            self.endpoint.read_paused(behind)
        return 0 if behind and self.state is State.OPEN else len(self.messages) + 1

    def _is_behind(self) -> bool:
        """Whether too much is unread."""
        limit = max_unread(self)
        unread = len(self.messages)
        unread_bytes = sum(map(size, self.messages))
        if unread <= limit / 2 and unread_bytes <= MAX_BYTES / 2:
            return False
        return self._behind or unread >= limit or unread_bytes >= MAX_BYTES

    async def write_close_frame(self, close: Any, data: Any = None) -> None:
        # Once the application has closed nothing may keep the peer's answer from being read.
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

    async def _drain_helper(self) -> None:
        # The original asserts that only one task at a time waits for the buffer to drain.
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

    def eof_received(self) -> Any:
        super().eof_received()
        return self.endpoint.eof_received()

    def shutdown(self) -> None:
        # uvicorn's own would write another Close frame, which its libraries refuse.
        if self.state is State.OPEN and joining.announce_exit(self):
            return
        self.transport.close_at_exit(super().shutdown)

    def connection_lost(self, exc: Exception | None) -> None:
        self.endpoint.lost()
        super().connection_lost(exc)


def _endpoint(protocol: Any) -> Endpoint:
    # `max_queue` hides the value that it had.
    protocol.__class__ = JoinedProtocol
    protocol.endpoint = Endpoint(LegacyAdapter(protocol))
    endpoint: Endpoint = protocol.endpoint
    return endpoint


async def _accepting(protocol: Any, send: Send, event: Event) -> None:
    """Send, and return from an accept when its handshake is over."""
    await send(event)
    if event["type"] == "websocket.accept":
        await protocol.handshake_completed_event.wait()


def join(protocol: Any, receive: Receive, send: Send) -> Server | None:
    """Join a connection with an endpoint, if its inside is what is expected."""
    # A subclass may have changed anything.
    if type(protocol) is not WebSocketProtocol or joining.unexpected(protocol, TOUCHED):
        return None
    endpoint = _endpoint(protocol)
    accepting = functools.partial(_accepting, protocol, send)
    return Server(
        receive=receive,
        send=functools.partial(endpoint.send, accepting),
        extension=Functions(endpoint),
        send_message=send,
        is_closing=endpoint.transport_is_closing,
        # It is open a moment after that.
        is_accepted=protocol.handshake_started_event.is_set() and not protocol.initial_response,
    )


class KeepaliveProtocol(WebSocketProtocol):
    """Declares the `websocket.ping` extension, which `docs/extension.md` specifies."""

    def connection_made(self, transport: Any) -> None:
        # asyncio's name, so it is there in any uvicorn: whatever else is not is told here.
        super().connection_made(transport)
        self.keepalive_fits = joining.fits(self, joining.unexpected(self, TOUCHED))

    async def run_asgi(self) -> None:
        # The scope is complete, and the application has not begun.
        if self.keepalive_fits:
            accepting = functools.partial(_accepting, self, self.asgi_send)
            self.asgi_send = joining.declare(self, _endpoint, accepting)  # type: ignore[assignment]
        await super().run_asgi()
