"""The server's side of one connection in a test, with a peer that does as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from math import inf
from typing import NamedTuple

from ..extension import EXTENSION, Event, Extension, OnClosing, OnPong, Receive, Scope, Send
from ..scopes import get_keepalive
from ..state import Keepalive


class Ping(NamedTuple):
    """A Ping that the peer has yet to answer.

    Attributes:
        latency: It takes the peer so many seconds, if that is certain already.
    """

    payload: bytes
    written_at: float
    latency: float | None


class SimulatedServer:
    """A server that offers the extension around one connection of a test client.

    Args:
        scope: The ASGI scope, of the client's making.
        receive: The `receive` that leads to the client.
        send: The `send` that leads there.
        latency: How long it takes the peer to answer a Ping, in seconds.

    Raises:
        RuntimeError: The event loop is not one of asyncio's.

    Attributes:
        context: The application's, as it was when it accepted.
        is_open: Whether the application has accepted, and nobody has closed.
        latency: How long it takes the peer to answer a Ping, in seconds.
        loop: The event loop of the application.
        scope: The application's.
        thread: The thread of the application.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, latency: float) -> None:
        self.context = contextvars.Context()
        self.is_open = False
        self.latency = latency
        self.loop = _running_loop()
        self.thread = threading.get_ident()
        functions: Extension = {
            "take_over": self._take_over,
            "ping": self._ping,
            "fail": self._fail,
            "read_ahead": lambda on_read_paused: None,  # a client's queue has no bound
            "bound_closing": lambda timeout: None,  # nothing is held
            "traffic": lambda: {"unsent": self._unsent()},
            "announce_exit": lambda on_exit: None,  # it never exits
        }
        extensions = {**(scope.get("extensions") or {}), EXTENSION: functions}
        state = scope.get("state")
        self.scope = {**scope, "extensions": extensions, "state": {} if state is None else state}
        self._receive = receive
        self._send = send
        self._loses_pong = False
        self._on_closing: OnClosing | None = None
        self._on_pong: OnPong | None = None
        self._closing: asyncio.Task[None] | None = None  # which asyncio does not keep
        self._pings: list[Ping] = []
        self._reads = asyncio.Event()  # it is not set while the peer is frozen
        self._reads.set()
        self._waiting = 0  # bytes of messages that the peer does not read

    @property
    def is_kept(self) -> bool:
        """Whether it is open, and the middleware has taken it over."""
        return self.is_open and self._on_pong is not None

    @property
    def keepalive(self) -> Keepalive:
        """The object that the middleware has put into the scope."""
        return get_keepalive(self.scope)

    # The application's calls.

    async def receive(self) -> Event:
        """ASGI's `receive`."""
        event: Event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self.end()
        return event

    async def send(self, event: Event) -> None:
        """ASGI's `send`; a message waits for the peer to read."""
        if event["type"] == "websocket.send":
            await self._until_read(event)
        elif event["type"] == "websocket.close":
            self.end()
        elif event["type"] == "websocket.accept":
            # A test in another thread may learn of it before `_send` returns.
            self.context = contextvars.copy_context()
            self.is_open = True
        await self._send(event)

    async def _until_read(self, event: Event) -> None:
        if self._reads.is_set():
            return
        text = event.get("text") or ""
        size = len(text.encode(errors="replace")) + len(event.get("bytes") or b"")
        self._waiting += size
        try:
            await self._reads.wait()
        finally:
            self._waiting -= size
        self._must_be_open()

    def end(self) -> None:
        """The connection begins to close."""
        on_closing = self._on_closing
        self._forget()
        if on_closing is not None:
            on_closing()

    def _forget(self) -> None:
        self.is_open = False
        self._on_closing = self._on_pong = None
        self._pings.clear()
        self._reads.set()  # no `send` waits any more

    # The functions of the extension, see docs/extension.md.

    def _take_over(self, on_pong: OnPong, on_closing: OnClosing) -> None:
        self._on_pong, self._on_closing = on_pong, on_closing

    def _ping(self, payload: bytes) -> None:
        self._must_be_open()
        latency = inf if self._loses_pong else None
        self._loses_pong = False
        self._pings.append(Ping(payload, time.monotonic(), latency))
        self.loop.call_soon(self._answer_all)  # it is not written before this returns

    def _fail(self, code: int, reason: str, timeout: float) -> None:
        self._must_be_open()
        self._forget()
        close = {"type": "websocket.close", "code": code, "reason": reason}
        self._closing = self.loop.create_task(self._send_close(close))

    async def _send_close(self, event: Event) -> None:
        with contextlib.suppress(Exception):  # the client has gone
            await self._send(event)

    def _unsent(self) -> int:
        pings = sum(2 + len(ping.payload) for ping in self._pings)
        return 0 if self._reads.is_set() else self._waiting + pings

    def _must_be_open(self) -> None:
        if not self.is_open:
            raise ConnectionError("the WebSocket connection is not open")

    # The peer.

    def lose_pong(self) -> None:
        """Let the Pong of the next Ping be lost."""
        self._loses_pong = True

    def freeze(self) -> None:
        """Read nothing any more."""
        self._reads.clear()

    def pong_after(self, latency: float) -> None:
        """Answer the Pings that wait for it, or the keepalive's next one, and all later ones."""
        self.latency = latency
        self._reads.set()
        if not self._pings:
            self.skip()
        self._answer_all()

    def skip(self) -> bool:
        """Do at once what is to come next; return whether anything was, see `Connection.skip`."""
        link = self.keepalive._link
        return link is not None and link.skip()

    def _answer_all(self) -> None:
        while self._pings and self._reads.is_set():
            self._answer(self._pings.pop(0))

    def _answer(self, ping: Ping) -> None:
        keepalive = self.keepalive
        latency = self.latency if ping.latency is None else ping.latency
        timeout = keepalive.ping_timeout
        if timeout is not None and latency >= timeout:
            self.skip()
        elif latency < inf:
            # All earlier Pings have been answered, unless nobody waits for their Pongs.
            since = max(ping.written_at, keepalive._awaited_since or 0.0)
            assert self._on_pong is not None  # whoever sends a Ping has taken over
            self._on_pong(ping.payload, since + latency)


def _running_loop() -> asyncio.AbstractEventLoop:
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    raise RuntimeError("a Peer works on an event loop of asyncio's only, as the middleware does")
