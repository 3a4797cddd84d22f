"""A small ASGI server for WebSockets, without the extension."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any, cast

from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from .page_scope import scope

Event = dict[str, Any]
Send = Callable[[Event], Awaitable[None]]
Receive = Callable[[], Awaitable[Event]]
App = Callable[[Event, Receive, Send], Awaitable[None]]

logger = logging.getLogger("page_server")
CLOSE_TIMEOUT = 10.0
"""Seconds after which a connection that closes is aborted."""

BOUNDS = 1, sys.maxsize
"""So much may be unread: messages, and bytes."""


class Disconnected(OSError):
    """Nothing can be sent, as the connection is not open."""


class SteppingReader(StreamReader):
    """Stop the parser before each frame, so that a `receive_data` parses one at the most."""

    def at_eof(self) -> Generator[None, None, bool]:
        """Wait for one step more than the library does."""
        yield
        return (yield from super().at_eof())


class Connection(asyncio.Protocol):
    """One connection, from TCP's beginning to its end."""

    transport: asyncio.Transport
    request: Request | None = None
    response: Response
    disconnect: Event | None = None  # what `receive` returns from the end on
    ping_timer: asyncio.TimerHandle | None = None
    end_timer: asyncio.TimerHandle | None = None
    greeted = accepted = closing = pong_due = is_text = False
    paused = False  # reading is, as too much is unread
    deaf = False  # what comes is discarded
    bounds, size = BOUNDS, 0  # of what is unread

    def __init__(self, app: App, interval: float | None, peers: set[Connection]) -> None:
        self.app, self.interval, self.peers = app, interval, peers
        self.loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self.loop.create_future()
        self.task: asyncio.Future[None] = self.gone
        self.unread: deque[Event] = deque()
        self.fragments: list[bytes] = []
        self.news, self.writable = asyncio.Event(), asyncio.Event()
        self.writable.set()
        self.protocol = ServerProtocol()
        self.protocol.reader = SteppingReader()
        self.protocol.parser = self.protocol.parse()
        next(self.protocol.parser)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's is of no class of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.sock = transport.get_extra_info("socket")
        self.peers.add(self)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, unless the peer speaks before its handshake is answered."""
        if self.accepted or self.request is None:
            self.parse(data)
        elif not self.deaf:
            self.protocol.reader.feed_data(data)
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Take the peer's EOF for its leaving, and leave the closing of TCP to `finish`."""
        self.end(1006)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everybody."""
        self.begin_closing()
        self.set_disconnect(1006)
        if self.end_timer is not None:
            self.end_timer.cancel()
        self.gone.set_result(None)
        self.task.add_done_callback(lambda _: self.peers.discard(self))

    def pause_writing(self) -> None:
        """Block the next `send`."""
        if not self.closing:
            self.writable.clear()

    def resume_writing(self) -> None:
        """Release the blocked `send`."""
        self.writable.set()

    def parse(self, data: bytes = b"") -> None:
        """Parse and handle frame by frame, until too much is unread."""
        while not self.deaf:
            self.protocol.receive_data(data)
            data = b""
            self.flush()
            events = self.protocol.events_received()
            for event in events:
                self.handle(event)
            if self.protocol.parser_exc or self.protocol.handshake_exc:
                self.end(1006)
            if not events or not self.accepted or self.is_full():
                break
        self.pace()

    def handle(self, event: object) -> None:
        """Handle the request or a frame."""
        if isinstance(event, Request):
            self.start(event)
        elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
            self.pong_due = False
            self.tell_of_pong(bytes(event.data))
        elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
            close = Close.parse(event.data)
            self.end(close.code, close.reason)
        elif isinstance(event, Frame) and event.opcode is not Opcode.PING:
            if event.opcode is not Opcode.CONT:
                self.is_text = event.opcode is Opcode.TEXT
            self.fragments.append(bytes(event.data))
            if event.fin:
                self.add(b"".join(self.fragments))
                self.fragments.clear()

    def add(self, data: bytes) -> None:
        """Queue a message, or discard it if the connection closes and there is no room."""
        try:
            event = {"text": data.decode()} if self.is_text else {"bytes": data}
        except UnicodeDecodeError:
            self.protocol.fail(1007, "invalid UTF-8")
            self.flush()
            self.end(1006)
        else:
            if self.disconnect is None and not (self.closing and self.too_much()):
                self.unread.append({"type": "websocket.receive", **event})
                self.size += len(data)
                self.news.set()

    def too_much(self) -> bool:
        """Whether a bound of what is unread is reached."""
        return len(self.unread) >= self.bounds[0] or self.size >= self.bounds[1]

    def is_full(self) -> bool:
        """Whether reading has to pause."""
        return self.accepted and not self.closing and self.too_much()

    def pace(self) -> None:
        """Pause reading, or go on with what is unparsed and then with reading."""
        half = len(self.unread) <= self.bounds[0] // 2 and self.size <= self.bounds[1] // 2
        if self.paused and (self.closing or half):
            self.paused = False
            self.tell_of_pause()
            self.parse()
        elif not self.paused and self.is_full():
            self.paused = True
            self.transport.pause_reading()
            self.tell_of_pause()
        elif not self.paused:
            self.transport.resume_reading()

    def start(self, request: Request) -> None:
        """Start the application, unless this is no WebSocket handshake."""
        self.request, self.response = request, self.protocol.accept(request)
        if self.response.status_code == 101:
            self.task = self.loop.create_task(
                self.run(scope(request, self.transport, self.extension))
            )
        else:
            self.protocol.send_response(self.response)
            self.flush()

    async def run(self, scope: Event) -> None:
        """Run the application, and close what it leaves open."""
        code = 1000
        try:
            await self.app(scope, self.receive, self.send)
        except Disconnected:
            logger.debug("The application did not catch the error of its send.")
        except Exception:
            logger.exception("The application failed.")
            code = 1011
        finally:
            if not self.closing:
                self.close(code, "", 500)

    async def receive(self) -> Event:
        """ASGI's `receive`."""
        if not self.greeted:
            self.greeted = True
            return {"type": "websocket.connect"}
        while not self.unread:
            if self.disconnect is not None:
                return dict(self.disconnect)
            self.news.clear()
            await self.news.wait()
        event = self.unread.popleft()
        self.size -= len(event["bytes"] if "bytes" in event else event["text"].encode())
        self.pace()
        return event

    async def send(self, event: Event) -> None:
        """ASGI's `send`."""
        while event["type"] == "websocket.send" and not self.writable.is_set():
            await self.writable.wait()
        if self.closing:
            raise Disconnected("The connection is closed.")
        if event["type"] == "websocket.close":
            self.close(event.get("code", 1000), event.get("reason") or "", 403)
        elif event["type"] == "websocket.accept" and not self.accepted:
            self.accept(event)
        elif event["type"] == "websocket.send" and event.get("text") is not None:
            self.protocol.send_text(event["text"].encode())
        elif event["type"] == "websocket.send":
            self.protocol.send_binary(event["bytes"])
        else:
            raise RuntimeError(f"{event['type']} is not expected")
        self.flush()

    def accept(self, event: Event) -> None:
        """End the handshake."""
        if event.get("subprotocol") is not None:
            self.response.headers["Sec-WebSocket-Protocol"] = event["subprotocol"]
        for name, value in event.get("headers", ()):
            self.response.headers[name.decode()] = value.decode("latin-1")
        self.protocol.send_response(self.response)
        self.flush()
        self.accepted = True
        self.start_keepalive()
        self.parse()

    def flush(self) -> None:
        """Write what the protocol has to send, and leave the end of it to `finish`."""
        for data in filter(None, self.protocol.data_to_send()):
            self.transport.write(data)

    def start_keepalive(self) -> None:
        """Start the server's own keepalive, if there is one."""
        if self.interval is not None:
            self.ping_timer = self.loop.call_later(self.interval, self.keep_alive)

    def keep_alive(self) -> None:
        """Send a Ping, or give up a peer that has not answered the last one."""
        if self.pong_due and not self.paused:
            self.close(1011, "keepalive ping timeout", 500)
            self.set_disconnect(1006)
        else:
            self.pong_due = True
            self.protocol.send_ping(os.urandom(4))
            self.flush()
            self.start_keepalive()

    def begin_closing(self) -> None:
        """The connection begins to close: bound that."""
        if self.closing:
            return
        self.closing = True
        self.writable.set()
        if self.ping_timer is not None:
            self.ping_timer.cancel()
        self.bound_end()
        self.tell_of_closing()

    def set_disconnect(self, code: int, reason: str = "") -> None:
        """Set what `receive` returns behind the unread messages, once."""
        event = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self.disconnect = self.disconnect or event
        self.news.set()

    def close(self, code: int, reason: str, status: int) -> None:
        """Send a Close frame and wait for the peer's, or deny the handshake."""
        if self.accepted:
            self.protocol.send_close(code, reason)
        else:
            self.protocol.send_response(self.protocol.reject(status, ""))
        self.flush()
        self.begin_closing()
        if self.accepted:
            self.pace()
        else:
            self.end(1006)

    def end(self, code: int, reason: str = "") -> None:
        """End a connection on which nothing more can come."""
        self.deaf = True
        self.begin_closing()
        self.set_disconnect(code, reason)
        self.finish()

    def shut_down(self) -> None:
        """End the connection as the server shuts down."""
        if self.request is None:
            self.transport.abort()
        elif not self.closing:
            self.close(1012, "", 503)
            self.set_disconnect(1012)

    # The extension has more to do here.

    @property
    def extension(self) -> dict[str, Any]:
        """The functions of the extension."""
        return {}

    def tell_of_pong(self, payload: bytes) -> None:
        """A Pong has come."""

    def tell_of_pause(self) -> None:
        """Reading has paused, or goes on."""

    def tell_of_closing(self) -> None:
        """The connection begins to close."""

    def bound_end(self) -> None:
        """Let the end of the connection come in bounded time."""
        self.end_timer = self.loop.call_later(CLOSE_TIMEOUT, self.transport.abort)

    def finish(self) -> None:
        """Close TCP behind what is buffered."""
        self.transport.close()


async def serve(
    app: App,
    sock: socket.socket,
    connection: Callable[[App, float | None, set[Connection]], Connection],
    stop: asyncio.Event,
    ping_interval: float | None = None,
) -> None:
    """Serve until `stop` is set, and then until every connection and application has ended."""
    peers: set[Connection] = set()
    server = await asyncio.get_running_loop().create_server(
        lambda: connection(app, ping_interval, peers), sock=sock
    )
    await stop.wait()
    server.close()
    last = list(peers)
    for peer in last:
        peer.shut_down()
    await asyncio.gather(*(peer.gone for peer in last))
    if last:
        await asyncio.wait([peer.task for peer in last], timeout=CLOSE_TIMEOUT)
    for peer in last:
        peer.task.cancel()
