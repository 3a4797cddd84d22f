"""An endpoint between a transport and a server, and the callbacks of the extension."""

from __future__ import annotations

from typing import Any

from asgi_keepalive.endpoint.endpoint import Endpoint

from .adapter import FakeAdapter, PlainAdapter
from .fake_loop import fake_loop
from .transport import FakeTransport


class Connected:
    """One connection on which the extension is offered.

    Args:
        reads: Whether its frames are read by the endpoint.
        is_open: Whether its handshake is complete.
        transport: Its transport.

    Attributes:
        told: What the callbacks have been told, in order.
    """

    def __init__(
        self,
        *,
        reads: bool = True,
        is_open: bool = True,
        transport: FakeTransport | None = None,
    ) -> None:
        self.transport = transport or FakeTransport()
        kind = FakeAdapter if reads else PlainAdapter
        self.adapter: Any = kind(self.transport, is_open=is_open)
        self.endpoint = Endpoint(self.adapter)
        self.told: list[Any] = []

    def take_over(self) -> None:
        self.endpoint.take_over(self.on_pong, self.on_closing)

    def on_pong(self, payload: bytes, time: float) -> None:
        assert time == fake_loop().now
        self.told.append(payload)

    def on_closing(self) -> None:
        self.told.append("closing")

    def on_read_paused(self, paused: bool, time: float) -> None:
        assert time == fake_loop().now
        self.told.append(paused)

    def receive(self, data: bytes) -> None:
        """Let this come from the peer."""
        protocol: Any = self.transport.protocol
        if hasattr(protocol, "buffer_updated"):
            protocol.get_buffer(-1)[: len(data)] = data
            protocol.buffer_updated(len(data))
        else:
            protocol.data_received(data)

    def everything(self) -> object:
        """Return all that a call may change."""
        return (
            self.told.copy(),
            self.adapter.told.copy(),
            self.transport.calls.copy(),
            self.transport.written,
            self.adapter.transport.state,
            self.adapter.transport.close_timeout,
            fake_loop().timers(),
        )
