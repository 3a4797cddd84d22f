"""What uvicorn's two newer protocols have in common."""

from __future__ import annotations

import functools
from math import inf
from typing import Any

from ...extension import Event, Receive, Send
from ..buffer import connect
from ..frames import framing
from ..reading import ReadAheadQueue
from ..turns import taking_turns
from . import shared


def max_unread(protocol: Any) -> float:
    """Return how many messages may be unread: `ws_max_queue`, where `None` is no bound."""
    limit = protocol.config.ws_max_queue
    return inf if limit is None else max(1, limit)


TOUCHED = (
    *shared.TOUCHED,
    "close_sent",
    "conn",
    "disconnected",
    "handle_ping",
    "handle_pong",
    "handshake_complete",
    "queue",
    "read_paused",
    "send",
    "start_keepalive",
    "writable",
)
"""The undocumented attributes of the two newer protocols that this package rests on."""


def reading_ahead(base: Any) -> Any:
    """Return a subclass of one of the two newer protocols that speaks the extension."""

    class ReadingAhead(taking_turns(framing(shared.extended(base)))):  # type: ignore[misc]
        queue: Any

        def extend(self) -> None:
            super().extend()
            connect(self.transport, self.loop, self)
            queue, self.queue = self.queue, ReadAheadQueue(self, max_unread(self))
            while not queue.empty():
                self.queue.put_nowait(queue.get_nowait())
            # uvicorn finds reading paused already and leaves it alone: the queue sees to it.
            self.read_paused = True

        def own_receive(self) -> Receive | None:
            own: Receive = self.queue.get
            return own

        def go_on_reading(self) -> None:
            self.queue.go_on()

        def may_write(self) -> bool:
            return bool(self.writable.is_set())

        async def send(self, message: Event) -> None:
            if message["type"] == "websocket.send":
                await super().send(message)
            else:
                await self.extension.send(functools.partial(self.pass_on, super().send), message)

        async def pass_on(self, send: Send, event: Event) -> None:
            await send(event)
            if self.close_sent:
                self.queue.discard()

        async def accepted(self) -> None:
            pass

        def is_established(self) -> bool:
            return self.handshake_complete and not (self.close_sent or self.transport.is_closing())

        def failed(self, code: int, reason: str) -> None:
            """The Close frame has been written: let a pending `receive` end."""
            self.close_sent = True
            self.queue.end({"type": "websocket.disconnect", "code": code, "reason": reason})

        def end(self) -> None:
            self.disconnected = True
            self.writable.set()

    return ReadingAhead
