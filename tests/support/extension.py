"""One connection of a real server, on which a test calls the functions of the extension."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from threading import Event
from typing import Any

from asgi_keepalive import extension, servers

from .client import Client
from .server import Server, wait_until


class Speaker:
    """An application that does what the test says, and notes what it is told.

    Attributes:
        pongs: What `on_pong` was called with.
        closings: When `on_closing` was called.
        pauses: What `on_read_paused` was called with.
        side: The server's side of the connection.
        server: The server that runs it.
        client: The peer.
    """

    side: extension.Server
    server: Server
    client: Client

    def __init__(self) -> None:
        self.pongs: list[tuple[bytes, float]] = []
        self.closings: list[float] = []
        self.pauses: list[tuple[bool, float]] = []
        self._begun = Event()
        self._ends: asyncio.Future[None]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        side = servers.find(scope, receive, send)
        assert isinstance(side, extension.Server), side
        self.side = side
        self._ends = asyncio.get_running_loop().create_future()
        self._begun.set()
        await self._ends

    def begun(self) -> Speaker:
        """Wait until the application has been called."""
        assert self._begun.wait(10)
        return self

    # Each of these runs in the server's thread.

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Begin something that may have to wait."""
        assert self.server.loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self.server.loop)

    def call(self, name: str, *args: Any) -> Any:
        """Return what a function of the extension returns, or raise what it raises."""

        async def call() -> Any:
            return self.side.extension[name](*args)

        return self.begin(call()).result(10)

    def take_over(self) -> None:
        self.call("take_over", lambda *pong: self.pongs.append(pong), self._on_closing)

    def _on_closing(self) -> None:
        self.closings.append(time.monotonic())

    def read_ahead(self) -> None:
        self.call("read_ahead", lambda *pause: self.pauses.append(pause))

    def ping(self, payload: bytes) -> None:
        self.call("ping", payload)

    async def sending(self, kind: str, **keys: Any) -> None:
        event = {"type": f"websocket.{kind}", **keys}
        await (self.side.send_message if kind == "send" else self.side.send)(event)

    def send(self, kind: str, **keys: Any) -> None:
        """Send an event of the application."""
        self.begin(self.sending(kind, **keys)).result(10)

    async def receiving(self) -> Any:
        return await self.side.receive()

    def receive(self) -> Any:
        """Return the next event for the application."""
        return self.begin(self.receiving()).result(10)

    def accept(self) -> None:
        assert self.receive()["type"] == "websocket.connect"
        self.send("accept")
        self.client.open()

    def end(self, error: Exception | None = None) -> None:
        """Let the application return, or raise."""

        def end() -> None:
            if self._ends.done():
                return
            if error is None:
                self._ends.set_result(None)
            else:
                self._ends.set_exception(error)

        assert self.server.loop is not None
        with suppress(RuntimeError):  # its loop has been closed
            self.server.loop.call_soon_threadsafe(end)

    def block(self) -> Future[Any]:
        """Send until a `send` waits, as the peer reads nothing; return that one."""

        async def stream() -> None:
            while True:
                await self.sending("send", bytes=bytes(65536))
                await asyncio.sleep(0)

        blocked = self.begin(stream())
        unsent = -1
        while (now := self.unsent()) != unsent:
            unsent = now
            time.sleep(0.1)
        assert not blocked.done()
        return blocked

    def unsent(self) -> int:
        unsent: int = self.call("traffic")["unsent"]
        return unsent

    def closed(self) -> None:
        """Wait until `on_closing` has been called; it must not be called again."""
        wait_until(lambda: self.closings)
        time.sleep(0.05)
        assert len(self.closings) == 1
