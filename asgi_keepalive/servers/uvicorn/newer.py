"""uvicorn's two newer protocols, as far as they are alike."""

from __future__ import annotations

import asyncio
import functools
from math import inf
from typing import Any

from ...endpoint.adapter import ReadingAdapter, disconnect
from ...endpoint.closing import BoundedTransport
from ...endpoint.endpoint import Endpoint, Functions
from ...endpoint.queue import ReadAheadQueue
from ...extension import Receive, Send, Server
from ..origins import is_method_of
from . import joining

TOUCHED = (
    *joining.TOUCHED,
    "close_sent",
    "close_timer",
    "conn",
    "data_received",
    "disconnected",
    "handshake_complete",
    "queue",
    "read_paused",
    "stop_keepalive",
    "writable",
)
"""The undocumented attributes of the two newer protocols on which this package rests."""


def max_unread(protocol: Any) -> float:
    """Return how many messages may be unread: `ws_max_queue`, where `None` is no bound."""
    limit = protocol.config.ws_max_queue
    return inf if limit is None else max(1, limit)


class NewerAdapter(ReadingAdapter):
    """A connection of one of the two newer protocols."""

    __slots__ = ("protocol",)

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.loop = protocol.loop
        self.transport = protocol.transport
        self.max_unread = max_unread(protocol)
        self.max_size = protocol.config.ws_max_size

    # The beginning.

    def use_transport(self, transport: BoundedTransport) -> None:
        self.transport = self.protocol.transport = transport
        # uvicorn calls it on exit; its own would write another Close frame, which its libraries
        # refuse.
        self.protocol.shutdown = self._shutdown

    def use_queue(self, queue: ReadAheadQueue) -> None:
        queue.take_from(self.protocol.queue)
        self.queue = self.protocol.queue = queue
        # uvicorn finds reading paused already and leaves it alone: the queue sees to it.
        self.protocol.read_paused = True

    def stop_keepalive(self) -> None:
        self.protocol.ping_interval = None  # it has not begun, most often
        self.protocol.stop_keepalive()

    def forward(self, data: bytes) -> None:
        self.protocol.data_received(data)

    # Between the two ends.

    def is_open(self) -> bool:
        protocol = self.protocol
        return protocol.handshake_complete and not (
            protocol.close_sent or self.transport.is_closing()
        )

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()

    # The end.

    def peer_closed(self, code: int, reason: str) -> None:
        protocol = self.protocol
        if protocol.close_sent:
            # Denied connections have no timer, and those that close because of the peer.
            if protocol.close_timer is not None:
                protocol.close_timer.cancel()
                protocol.close_timer = None
                self.transport.close()
        elif not self.transport.is_closing():
            self.queue.put_nowait(disconnect(code, reason))
            self.write_close(code, reason)
            self.transport.close()

    def peer_failed(self, code: int, reason: str) -> None:
        if not self.protocol.close_sent:  # or the application has been told of its own close
            self.queue.put_nowait(disconnect(code, reason))
        self.protocol.close_sent = True
        self.transport.close()

    def failed(self, code: int, reason: str) -> None:
        self.protocol.close_sent = True
        self.queue.end(disconnect(code, reason))

    def end_writing(self) -> None:
        self.protocol.disconnected = True
        self.protocol.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.protocol.connection_lost(exc)

    def _shutdown(self) -> None:
        protocol = self.protocol
        if self.is_open() and joining.announce_exit(protocol):
            return
        self.transport.close_at_exit(functools.partial(type(protocol).shutdown, protocol))


def join(make: type[NewerAdapter], protocol: Any, receive: Receive, send: Send) -> Server | None:
    """Join a connection that `attach` has found with an endpoint, if uvicorn has it complete."""
    if not joining.is_complete(protocol):
        return None
    adapter = make(protocol)
    endpoint = Endpoint(adapter)
    # What stands before the protocol's own `receive` may have to see the events.
    is_direct = is_method_of(protocol, receive) and is_method_of(protocol, send)
    return Server(
        receive=adapter.queue.get if is_direct else receive,
        send=functools.partial(endpoint.send, send),
        extension=Functions(endpoint),
        send_message=send,
        releases_calls=is_direct,
        is_closing=endpoint.transport_is_closing,
        is_accepted=adapter.is_open(),
    )


async def declare(make: type[NewerAdapter], protocol: Any) -> None:
    """Declare the extension in a connection's scope, once uvicorn has it complete."""
    if not joining.is_complete(protocol):
        await asyncio.sleep(0)
    protocol.send = joining.declare(protocol, lambda one: Endpoint(make(one)), protocol.send)
