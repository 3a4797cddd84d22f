"""The server's half: text messages that show a page that its server is there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re

from ..extension import Event, Receive, Scope, Send
from ..state import Keepalive

ASKS = re.compile(rb"asgi-keepalive=([0-9a-f]{32})")
"""The parameter of a query string that asks for heartbeats, with the nonce they begin with.

Anybody can write a link that asks, so a nonce has room for no words.
"""


def take_nonce(scope: Scope) -> tuple[str | None, Scope]:
    """Return the nonce of a page that asks, and the scope without its question."""
    nonce = None
    rest = []
    for parameter in scope.get("query_string", b"").split(b"&"):
        asks = ASKS.fullmatch(parameter)
        if asks:
            nonce = asks[1].decode()
        else:
            rest.append(parameter)
    if nonce is None:
        return None, scope
    return nonce, {**scope, "query_string": b"&".join(rest)}


def heartbeat(nonce: str, keepalive: Keepalive) -> str:
    """Return the text of a heartbeat, with times in seconds."""
    told = {
        "interval": keepalive.ping_interval,
        "timeout": keepalive.ping_timeout,
        "latency": keepalive.latency,
    }
    if keepalive._reconnect_after is not None:
        told["reconnectAfter"] = round(keepalive._reconnect_after, 3)
    return nonce + json.dumps(told, separators=(",", ":"))


class Heartbeats:
    """Sends heartbeats on one connection; it wraps the `receive` and `send` of the application."""

    def __init__(self, nonce: str, keepalive: Keepalive, receive: Receive, send: Send) -> None:
        self._nonce = nonce
        self._keepalive = keepalive
        self._receive = receive
        self._send = send
        self._sending = 0
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def receive(self) -> Event:
        """ASGI's `receive`."""
        event: Event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self.end()
        return event

    async def send(self, event: Event) -> None:
        """ASGI's `send`."""
        kind = event.get("type")
        if kind == "websocket.close":
            self.end()
        self._sending += 1
        try:
            await self._send(event)
        finally:
            self._sending -= 1
        if kind == "websocket.accept":
            with contextlib.suppress(RuntimeError):  # there is no asyncio here
                asyncio.get_running_loop()
                self._task = asyncio.create_task(self._beat())
                self._keepalive._on_news = self._news.set

    def end(self) -> None:
        """Stop sending heartbeats."""
        self._keepalive._on_news = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _beat(self) -> None:
        # The application learns of whatever ends the connection from its own calls.
        with contextlib.suppress(Exception):
            told = None
            while True:
                keepalive = self._keepalive
                news = keepalive.ping_interval, keepalive.ping_timeout, keepalive._reconnect_after
                # A message of the application that is on the way shows as much, unless there is
                # something to tell.
                if news != told or not self._sending:
                    text = heartbeat(self._nonce, keepalive)
                    await self._send({"type": "websocket.send", "text": text})
                    told = news
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(keepalive.ping_interval):
                        await self._news.wait()
                self._news.clear()
