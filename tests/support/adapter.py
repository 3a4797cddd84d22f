"""A server's connection that is what a test says, and notes what the endpoint tells it."""

from __future__ import annotations

import logging
from typing import Any

from asgi_keepalive.endpoint.adapter import Adapter, ReadingAdapter, disconnect
from asgi_keepalive.endpoint.closing import BoundedTransport
from asgi_keepalive.endpoint.inflate import Inflater
from asgi_keepalive.endpoint.queue import ReadAheadQueue

from .fake_loop import fake_loop
from .transport import FakeTransport


class _Noting(Adapter):
    """What both kinds have in common.

    Attributes:
        told: The names of the calls, with their arguments.
        has_opened: Whether the handshake is complete, and nobody has closed.
    """

    def __init__(self, transport: FakeTransport, *, is_open: bool = True) -> None:
        self.loop = fake_loop()
        self.transport: Any = transport
        self.told: list[Any] = []
        self.has_opened = is_open

    def use_transport(self, transport: BoundedTransport) -> None:
        self.transport = transport
        self.told.append("use_transport")

    def stop_keepalive(self) -> None:
        self.told.append("stop_keepalive")

    def is_open(self) -> bool:
        return self.has_opened and not self.transport.is_closing()

    def failed(self, code: int, reason: str) -> None:
        self.has_opened = False
        self.told.append(("failed", code, reason))

    def end_writing(self) -> None:
        self.told.append("end_writing")


class PlainAdapter(_Noting):
    """A server that reads by itself."""


class FakeAdapter(_Noting, ReadingAdapter):
    """A server whose frames the endpoint reads.

    Attributes:
        server_holds: What its parser holds; `None` while that is in the midst of something.
        forwarded: What it has been given to parse.
        deflates: Inflates, if that was agreed.
        frame_logger: The server's logger for frames.
    """

    def __init__(self, transport: FakeTransport, *, is_open: bool = True) -> None:
        super().__init__(transport, is_open=is_open)
        self.max_size = 1000
        self.max_unread = 4
        self.server_holds: bytes | None = b"" if is_open else None
        self.forwarded: list[bytes] = []
        self.deflates: Inflater | None = None
        self.frame_logger: logging.Logger | None = None

    @property
    def logger(self) -> logging.Logger | None:
        return super().logger or self.frame_logger

    def use_queue(self, queue: ReadAheadQueue) -> None:
        self.queue = queue

    def forward(self, data: bytes) -> None:
        self.forwarded.append(data)

    def unparsed(self) -> bytes | None:
        return self.server_holds

    def inflater(self) -> Inflater | None:
        return self.deflates

    def has_read(self) -> None:
        super().has_read()
        self.told.append("has_read")

    def pause_writing(self) -> None:
        self.told.append("pause_writing")

    def resume_writing(self) -> None:
        self.told.append("resume_writing")

    def peer_closed(self, code: int, reason: str) -> None:
        self.told.append(("peer_closed", code, reason))
        self.queue.put_nowait(disconnect(code, reason))

    def peer_failed(self, code: int, reason: str) -> None:
        self.told.append(("peer_failed", code, reason))
        self.queue.put_nowait(disconnect(1006))

    def eof_received(self) -> None:
        super().eof_received()
        self.told.append("eof_received")
        self.queue.put_nowait(disconnect(1006))

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("connection_lost", exc))
        self.queue.put_nowait(disconnect(1006))
