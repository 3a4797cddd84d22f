"""daphne, over TCP and TLS.

There, one object is a connection: autobahn's protocol on a transport of Twisted's. `attach` gives
it the class `KeepaliveProtocol`, and puts between the two what makes the transport one of
asyncio's. (Changing an object's class needs a class with exactly one base, the object's own.)

Of itself daphne never holds up an application that sends, tells it of a peer's Close only when TCP
is gone, leaves a connection open when its application returns, and drops all of them when it exits.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from math import inf
from typing import Any
from weakref import WeakSet

from daphne.ws_protocol import WebSocketProtocol  # type: ignore[import-untyped]
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.tcp import Connection
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer  # type: ignore[import-untyped]

from ..extension import Disconnected, Event, Receive, Send, Server
from .frames import framing
from .reading import ReadAheadQueue
from .speaking import Extension
from .turns import taking_turns

TOUCHED = (
    "CLOSE_STATUS_CODE_NORMAL",
    "STATE_CONNECTING",
    "STATE_OPEN",
    "_closeConnection",
    "_onOpen",
    "application_queue",
    "check_timeouts",
    "closeHandshakeTimeout",
    "connectionLost",
    "data",
    "dataReceived",
    "last_ping",
    "onClose",
    "onCloseFrame",
    "onPing",
    "onPong",
    "remoteCloseCode",
    "remoteCloseReason",
    "sendCloseFrame",
    "server",
    "state",
    "transport",
    "wasClean",
)
"""The attributes of a protocol on which this module rests; most are not documented."""

TOUCHED_SERVER = ("connections", "ping_interval")
"""Those of its server."""

TOUCHED_TCP = ("_tempDataLen", "connected", "dataBuffer", "offset", "producerPaused", "reactor")
"""Those of its transport."""

MAX_UNREAD = 32
"""So many messages may be unread: uvicorn's default, as daphne has no setting for it."""


class _Transport:
    """A transport of Twisted's, used as one of asyncio's; stands between it and a protocol."""

    def __init__(self, transport: Any, protocol: Any) -> None:
        tcp = _tcp(transport)
        self.write = transport.write
        self.pause_reading = tcp.pauseProducing
        self.resume_reading = tcp.resumeProducing
        self._transport = transport
        self._protocol = protocol
        self._tcp = tcp
        self._socket = getattr(tcp, "socket", None)
        self._aborted = False
        if tcp.connected:
            self._connect()

    def _connect(self) -> None:
        if self.can_write_eof():
            self._transport.protocol = self
        else:  # TLS, say, is such a wrapper
            self._transport.wrappedProtocol = self
        self._tcp.protocol = _TellingOfFin(self._tcp.protocol, self._fin)
        # The HTTP protocol that upgraded the connection is still its producer, to no purpose.
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    # As asyncio calls them.

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self._socket}.get(name)

    def get_write_buffer_size(self) -> int:
        unsent: int = len(self._tcp.dataBuffer) - self._tcp.offset + self._tcp._tempDataLen
        return unsent

    def set_write_buffer_limits(self, high: int) -> None:
        self._tcp.producerPaused = True  # Twisted resumes it when everything is written

    def is_closing(self) -> bool:
        return self._aborted  # for the rest see `BoundedTransport`

    def can_write_eof(self) -> bool:
        return self._tcp is self._transport

    def write_eof(self) -> None:
        self._transport.loseWriteConnection()

    def close(self) -> None:
        # TLS waits for its producer to finish.
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def abort(self) -> None:
        self._aborted = True
        self._transport.abortConnection()

    # As Twisted calls a protocol, and a producer of what is written.

    def dataReceived(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def connectionLost(self, reason: Any) -> None:
        self._protocol.connection_lost(reason)

    def pauseProducing(self) -> None:
        self._protocol.pause_writing()

    def resumeProducing(self) -> None:
        self._protocol.resume_writing()

    def stopProducing(self) -> None:
        pass  # connectionLost follows

    def _fin(self) -> None:
        if not self._protocol.eof_received():
            self._transport.unregisterProducer()
            self._tcp.loseConnection()  # TLS would wait for a close_notify


@implementer(IHalfCloseableProtocol)
class _TellingOfFin:
    """Stands before a protocol; without it Twisted gives up the descriptor at the peer's FIN."""

    def __init__(self, protocol: Any, on_fin: Callable[[], None]) -> None:
        self.dataReceived = protocol.dataReceived
        self.connectionLost = protocol.connectionLost
        self.readConnectionLost = on_fin

    def writeConnectionLost(self) -> None:
        pass


class _Protocol(WebSocketProtocol):  # type: ignore[misc]
    """A connection of daphne's that speaks the extension."""

    application_queue: Any
    loop: asyncio.AbstractEventLoop
    ping_interval: float | None
    transport: Any
    _lost: Deferred[None] | None = None

    def extend(self) -> None:
        """Begin to speak the extension."""
        self.loop = asyncio.get_running_loop()
        self.ping_interval = self.server.ping_interval
        self.closeHandshakeTimeout = 0  # but TCP is aborted
        self.writable = asyncio.Event()
        self.writable.set()
        self._twisted_transport = self.transport
        self.transport = _Transport(self.transport, self)
        self.extension = Extension(self)
        queue, self.application_queue = self.application_queue, ReadAheadQueue(self, MAX_UNREAD)
        while not queue.empty():
            self.application_queue.put_nowait(queue.get_nowait())
        if not self._twisted_transport.connected:
            self.extension.connection_lost()
        _task(self).add_done_callback(self._application_done)
        _close_at_exit(self.server, _tcp(self._twisted_transport).reactor)

    # From the application.

    async def send_other(self, send: Send, event: Event) -> None:
        """Pass an event of the application to `send`, which drops in silence what is too late."""
        await self.writable.wait()
        if self.state != self.STATE_CONNECTING and not self.is_established():
            raise Disconnected
        await send(event)

    def _application_done(self, task: asyncio.Task[None]) -> None:
        """Close the connection, unless daphne will do so, because of an exception."""
        if self.is_established() and (task.cancelled() or task.exception() is None):
            self.sendCloseFrame(self.CLOSE_STATUS_CODE_NORMAL)

    # From the transport.

    def data_received(self, data: bytes) -> None:
        self.dataReceived(data)

    def eof_received(self) -> bool:
        return self.extension.eof_received()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, reason: Any) -> None:
        self.extension.connection_lost()
        self.connectionLost(reason)
        if self._lost is not None:
            self._lost.callback(None)

    # From autobahn and daphne.

    def _onOpen(self) -> None:
        # autobahn looks into a TLS transport of its own kind.
        ours, self.transport = self.transport, self._twisted_transport
        try:
            super()._onOpen()
        finally:
            self.transport = ours

    def onPing(self, payload: bytes) -> None:
        if self.may_pong():
            super().onPing(payload)
        else:
            self._pong = bytes((0x8A, len(payload))) + payload

    def onPong(self, payload: bytes) -> None:
        self.extension.pong(payload)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        stop: bool | None = super().onCloseFrame(code, reasonRaw)
        if self.wasClean:
            # 1005 is for a Close frame without a code (RFC 6455 7.1.5).
            self._end_reading(self.remoteCloseCode or 1005, self.remoteCloseReason or "")
        return stop

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        self._end_reading(code, "")
        if self in self.server.connections:  # daphne forgets one that it has rejected
            super().onClose(wasClean, code, reason)

    def sendCloseFrame(self, *args: Any, **kwargs: Any) -> None:
        super().sendCloseFrame(*args, **kwargs)
        self.transport.abort_after(self.transport.close_timeout)
        self.application_queue.discard()

    def _closeConnection(self, abort: bool = False) -> None:
        self.transport.close()  # which aborts in the end
        if abort and not self.transport.can_write_eof():
            _tcp(self._twisted_transport).loseConnection()  # nobody waits for a close_notify

    def check_timeouts(self) -> None:
        if self.ping_interval is None:
            self.last_ping = inf  # that much later the next one is due
        super().check_timeouts()

    def shut_down(self) -> Deferred[None]:
        """The server exits: return what fires when the connection is gone."""
        self._lost = Deferred()
        if not self.extension.shutdown():
            if self.is_established():
                self.write_close(1012, "")
            self.transport.close()
        return self._lost

    def _end_reading(self, code: int, reason: str) -> None:
        event = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self.application_queue.end(event)

    # What the extension asks for.

    async def accepted(self) -> None:
        pass

    def may_write(self) -> bool:
        return self.writable.is_set()

    def is_between_frames(self) -> bool:
        """Whether the library's parser waits for the first byte of a frame."""
        return self.current_frame is None and not self.data

    def is_established(self) -> bool:
        return bool(self.state == self.STATE_OPEN and not self.transport.is_closing())

    def go_on_reading(self) -> None:
        self.application_queue.go_on()

    def write_close(self, code: int, reason: str) -> None:
        super().sendCloseFrame(code, reason.encode())
        self._end_reading(code, reason)

    def end(self) -> None:
        self.writable.set()


class KeepaliveProtocol(taking_turns(framing(_Protocol))):  # type: ignore[misc]
    """Speaks the `websocket.ping` extension, which `docs/extension.md` specifies."""


def attach(protocol: Any, receive: Receive, send: Send) -> Server | None:
    """Make a connection speak the extension.

    Args:
        protocol: What daphne's `send` is made of.
        receive: Where the application's events come from.
        send: Where the application's own events go.

    Returns:
        What speaks the extension, or `None` if this is not a connection of daphne's, its inside is
        not what is expected, or something between hides its `receive`.
    """
    if type(protocol) is not WebSocketProtocol or not _has(protocol, TOUCHED):
        return None
    if not _has(protocol.server, TOUCHED_SERVER):
        return None
    tcp = _tcp(protocol.transport)
    if not isinstance(tcp, Connection) or not _has(tcp, TOUCHED_TCP) or _task(protocol) is None:
        return None
    if receive != protocol.application_queue.get:
        return None
    protocol.__class__ = KeepaliveProtocol
    protocol.extend()
    return Server(
        receive=protocol.application_queue.get,
        send=functools.partial(protocol.extension.send, send),
        send_other=functools.partial(protocol.send_other, send),
        ping=protocol.extension.ping,
        fail=protocol.extension.fail,
        traffic=protocol.extension.traffic,
        ends_calls=True,
    )


def _has(owner: Any, names: tuple[str, ...]) -> bool:
    return all(hasattr(owner, name) for name in names)


def _task(protocol: Any) -> Any:
    """Return the task that runs the application."""
    return protocol.server.connections.get(protocol, {}).get("application_instance")


def _tcp(transport: Any) -> Any:
    """Return what TLS or other wrappers are around."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


_servers: WeakSet[Any] = WeakSet()


def _close_at_exit(server: Any, reactor: Any) -> None:
    """Let a server close its connections before it exits."""
    if server not in _servers:
        _servers.add(server)
        reactor.addSystemEventTrigger("before", "shutdown", _shut_down, server)


def _shut_down(server: Any) -> Deferred[Any]:
    connections = [one for one in server.connections if type(one) is KeepaliveProtocol]
    return DeferredList([one.shut_down() for one in connections if one.transport.connected])
