"""A transport of Twisted's, used as one of asyncio's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer  # type: ignore[import-untyped]

TOUCHED = ("_tempDataLen", "connected", "dataBuffer", "offset", "producerPaused", "reactor")
"""The undocumented attributes of a TCP transport on which this module rests."""


class Transport:
    """A transport of Twisted's, used as one of asyncio's; stands between it and a protocol."""

    def __init__(self, transport: Any) -> None:
        tcp = tcp_of(transport)
        self.write = transport.write
        self.pause_reading = tcp.pauseProducing
        self.resume_reading = tcp.resumeProducing
        self._transport = transport
        self._protocol: Any = None
        self._tcp = tcp
        self._socket = getattr(tcp, "socket", None)
        self._aborted = not tcp.connected
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


def tcp_of(transport: Any) -> Any:
    """Return what TLS or other wrappers are around."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport
