"""A connection of daphne's, as the endpoint uses it."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any
from weakref import WeakSet

from daphne.ws_protocol import WebSocketProtocol  # type: ignore[import-untyped]
from twisted.internet.defer import Deferred, DeferredList

from ...endpoint.adapter import ReadingAdapter, disconnect
from ...endpoint.closing import BoundedTransport
from ...endpoint.inflate import Inflater
from ...endpoint.queue import ReadAheadQueue
from ...extension import Disconnected, Event, Send
from .exiting import Application
from .transport import Transport, tcp_of

MAX_UNREAD = 32
"""So many messages may be unread: uvicorn's default, as daphne has no setting for it."""


class JoinedProtocol(WebSocketProtocol):  # type: ignore[misc]
    """A connection that has been joined with an endpoint."""

    adapter: DaphneAdapter
    pings_by_itself = True
    transport: Any

    def _onOpen(self) -> None:
        # autobahn looks into a TLS transport of its own kind.
        bounded, self.transport = self.transport, self.adapter.twisted_transport
        try:
            super()._onOpen()
        finally:
            self.transport = bounded

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        # daphne would tell the application only now.
        self.adapter.queue.end_behind_held(disconnect(code))
        if self in self.server.connections:  # daphne forgets one that it has rejected
            super().onClose(wasClean, code, reason)

    def sendCloseFrame(self, *args: Any, **kwargs: Any) -> None:
        # It is called when the application closes, or raises.
        super().sendCloseFrame(*args, **kwargs)
        self.transport.abort_after(self.transport.close_timeout)
        self.adapter.queue.discard()

    def _closeConnection(self, abort: bool = False) -> None:
        # autobahn would abort, which may destroy a Close frame.
        self.transport.close()  # which aborts in the end
        if abort and not self.transport.can_write_eof():
            tcp_of(self.adapter.twisted_transport).loseConnection()  # no close_notify is awaited

    def check_timeouts(self) -> None:
        # daphne calls it every two seconds, and sends its own Pings there.
        if not self.pings_by_itself:
            self.last_ping = inf  # that much later the next one is due
        super().check_timeouts()


class DaphneAdapter(ReadingAdapter):
    """A connection of daphne's.

    Args:
        protocol: autobahn's.
        task: It runs the application.
    """

    max_unread = MAX_UNREAD

    def __init__(self, protocol: Any, task: asyncio.Task[None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.max_size = protocol.maxMessagePayloadSize or None
        self.twisted_transport = protocol.transport
        self.transport = Transport(protocol.transport)
        self._application: Application | None = None  # if others close when the server exits
        self._is_spared = False
        self._lost: Deferred[None] | None = None
        self._protocol = protocol
        self._writable = asyncio.Event()
        self._writable.set()
        task.add_done_callback(self._application_done)

    # The beginning.

    def use_transport(self, transport: BoundedTransport) -> None:
        protocol = self._protocol
        protocol.__class__ = JoinedProtocol
        protocol.adapter = self
        protocol.closeHandshakeTimeout = 0  # but TCP is aborted
        self.transport = protocol.transport = transport
        _close_at_exit(protocol.server, tcp_of(self.twisted_transport).reactor)

    def watch_exit(self) -> None:
        if self._application is not None:
            return
        details = self._protocol.server.connections[self._protocol]
        self._application = Application(details["application_instance"], self._spare)
        details["application_instance"] = self._application

    def use_queue(self, queue: ReadAheadQueue) -> None:
        own = self._protocol.application_queue
        queue.take_from(own)
        queue.stand_behind(own)
        self.queue = self._protocol.application_queue = queue

    def stop_keepalive(self) -> None:
        self._protocol.pings_by_itself = False

    def forward(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def unparsed(self) -> bytes | None:
        protocol = self._protocol
        if not self.is_open() or protocol.current_frame is not None or protocol.inside_message:
            return None
        unparsed, protocol.data = bytes(protocol.data), b""
        return unparsed

    def inflater(self) -> Inflater | None:
        return None  # daphne agrees on no compression

    # Between the two ends.

    def is_open(self) -> bool:
        protocol = self._protocol
        return bool(protocol.state == protocol.STATE_OPEN and not self.transport.is_closing())

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def pass_on(self, send: Send, event: Event) -> None:
        """Pass a message to the server's own `send`, which drops in silence what is too late."""
        await self._writable.wait()
        protocol = self._protocol
        if protocol.state != protocol.STATE_CONNECTING and not self.is_open():
            raise Disconnected
        await send(event)

    # The end.

    def write_close(self, code: int, reason: str) -> None:
        # autobahn takes note of it.
        WebSocketProtocol.sendCloseFrame(self._protocol, code, reason.encode())

    def peer_closed(self, code: int, reason: str) -> None:
        # autobahn answers, and has TCP closed. 1005 is for a frame without a code (RFC 6455 7.1.5).
        self._protocol.onCloseFrame(None if code == 1005 else code, reason.encode() or None)
        self.end_reading(code, reason)

    def peer_failed(self, code: int, reason: str) -> None:
        self.end_reading(1006, "")  # as no Close frame was received (RFC 6455 7.1.5)
        self._protocol.wasNotCleanReason = reason
        self._protocol.dropConnection(abort=True)

    def failed(self, code: int, reason: str) -> None:
        self.end_reading(code, reason)
        self._end_spared()

    def end_reading(self, code: int, reason: str) -> None:
        """Tell the application of the end; the first such call counts."""
        self.queue.end(disconnect(code, reason))

    def end_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Any) -> None:
        self._protocol.connectionLost(exc)
        self._end_spared()
        if self._lost is not None:
            self._lost.callback(None)

    def _application_done(self, task: asyncio.Task[None]) -> None:
        """Close the connection, unless daphne will do so, because of an exception."""
        self._application = None
        if self.is_open() and (task.cancelled() or task.exception() is None):
            self._protocol.sendCloseFrame(self._protocol.CLOSE_STATUS_CODE_NORMAL)

    def shut_down(self) -> list[Deferred[None]]:
        """The server exits: return what fires when the connection is gone."""
        self._lost = Deferred()
        if self._application is not None and self._spare():
            return [self._lost, Deferred.fromFuture(self._application)]
        self.transport.close_at_exit(self._tell_and_close)
        return [self._lost]

    def _spare(self) -> bool:
        """The server exits: return whether others close the connection."""
        if self._application is None or not self.is_open():
            return False
        # daphne waits for its applications without bound.
        self._is_spared = self._is_spared or self.announce_exit(inf)
        return self._is_spared

    def _end_spared(self) -> None:
        """Let daphne's cancel come, so much later."""
        if self._is_spared and self._application is not None:
            self._application.cancel_after(self.transport.close_timeout)

    def _tell_and_close(self) -> None:
        if self.is_open():
            self.write_close(1012, "")
            self.end_reading(1012, "")
        self.transport.close()


_servers: WeakSet[Any] = WeakSet()


def _close_at_exit(server: Any, reactor: Any) -> None:
    """Let a server close its connections before it exits."""
    if server not in _servers:
        _servers.add(server)
        reactor.addSystemEventTrigger("before", "shutdown", _shut_down, server)


def _shut_down(server: Any) -> Deferred[Any]:
    connections = [one for one in server.connections if type(one) is JoinedProtocol]
    waits = [one.adapter.shut_down() for one in connections if one.transport.connected]
    return DeferredList([wait for several in waits for wait in several], consumeErrors=True)
