"""uvicorn's protocols, plain but for how far they read ahead of the application."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from uvicorn.protocols.websockets.websockets_impl import WebSocketProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from websockets.protocol import State

from asgi_keepalive.endpoint.queue import MAX_BYTES, size


def reading_ahead(base: Any) -> Any:
    """Return a protocol that never pauses reading: it thinks that it has."""

    class ReadingAhead(base):  # type: ignore[misc]
        @property
        def read_paused(self) -> bool:
            return True

        @read_paused.setter
        def read_paused(self, value: bool) -> None:
            pass

    return ReadingAhead


class Bounded(WebSocketProtocol):
    """It reads as far as behind the middleware: up to both bounds, but on once it has closed.

    What it has failed for it discards.
    """

    _limit: int
    _full = False
    _discards = False
    _put_message_waiter: asyncio.Future[None] | None

    @property
    def max_queue(self) -> int:
        used = max(len(self.messages) / self._limit, sum(map(size, self.messages)) / MAX_BYTES)
        self._full = used >= 1 or (self._full and used > 1 / 2)
        return 0 if self._full and self.state is State.OPEN else sys.maxsize

    @max_queue.setter
    def max_queue(self, value: int | None) -> None:
        self._limit = value or 1

    async def write_close_frame(self, close: Any, data: Any = None) -> None:
        waiter, self._put_message_waiter = self._put_message_waiter, None
        if waiter is not None:
            waiter.set_result(None)
        await super().write_close_frame(close, data)

    def fail_connection(self, code: int = 1006, reason: str = "") -> None:
        super().fail_connection(code, reason)
        self._discards = True
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if not self._discards:
            super().data_received(data)


AHEAD = {
    "websockets": Bounded,
    "websockets-sansio": reading_ahead(WebSocketsSansIOProtocol),
    "wsproto": reading_ahead(WSProtocol),
}
"""The protocols that have no setting for that."""
