"""A receiver between a transport and a server, each of which notes what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asgi_keepalive.endpoint.receiver import Receiver

from .adapter import FakeAdapter
from .transport import FakeTransport


class FakeEndpoint:
    """Notes what the receiver tells; `on_pong` is called for each Pong."""

    def __init__(self, told: list[Any]) -> None:
        self.told = told
        self.stays_open = True
        self.on_pong: Callable[[], object] = lambda: None

    def pong(self, payload: bytes) -> None:
        self.told.append(("pong", payload))
        self.on_pong()

    def read_paused(self, paused: bool) -> None:
        self.told.append(("read_paused", paused))

    def eof_received(self) -> bool:
        self.told.append("endpoint.eof_received")
        return self.stays_open

    def lost(self) -> None:
        self.told.append("lost")


class Reception:
    """One connection that a receiver reads.

    Attributes:
        told: What it has told the adapter and the endpoint, in order.
    """

    def __init__(self, *, is_open: bool = True, read_ahead: bool = True) -> None:
        self.transport = FakeTransport()
        self.adapter = FakeAdapter(self.transport, is_open=is_open)
        self.told = self.adapter.told
        self.endpoint = FakeEndpoint(self.told)
        self.receiver = Receiver(self.adapter, self.endpoint)
        if read_ahead:
            self.receiver.read_ahead()
        if is_open:
            self.receiver.begin()

    def receive(self, *data: bytes) -> None:
        """Let this come from the peer."""
        for one in data:
            self.receiver.data_received(one)

    async def next(self) -> Any:
        """Return what the application receives: a message itself, or the code of the end."""
        event = await asyncio.wait_for(self.adapter.queue.get(), 1)
        if event["type"] == "websocket.receive":
            return event.get("text", event.get("bytes"))
        return event.get("code", event["type"])

    async def until_end(self) -> list[Any]:
        """Return all that the application receives."""
        received = [await self.next()]
        while type(received[-1]) is not int:
            received.append(await self.next())
        return received

    def unread(self) -> int:
        """Return how many events wait for the application."""
        return self.adapter.queue.unread

    @property
    def is_reading(self) -> bool:
        """Whether the transport reads."""
        calls = [name for name in self.transport.names() if name.endswith("_reading")]
        return not calls or calls[-1] == "resume_reading"
