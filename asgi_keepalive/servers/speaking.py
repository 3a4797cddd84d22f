"""The server's side of the `websocket.ping` extension on one connection, whatever the server."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from ..extension import AcceptExtra, Event, OnPong, OnReadPaused, Send, Traffic
from . import kernel
from .closing import BoundedTransport


class Speaker(Protocol):
    """What the protocol of each server does in its own way."""

    loop: asyncio.AbstractEventLoop
    transport: Any
    ping_interval: float | None

    async def accepted(self) -> None:
        """Return when the handshake that `websocket.accept` began is over."""

    def is_established(self) -> bool:
        """Whether the handshake is complete and nobody has begun to close."""

    def write_ping(self, payload: bytes) -> None:
        """Write a Ping frame."""

    def write_close(self, code: int, reason: str) -> None:
        """Write a Close frame, and read no more messages."""

    def end(self) -> None:
        """Nothing can be written any more: let every `send` raise, and none wait."""


class Extension:
    """The `websocket.ping` extension on one connection; `docs/extension.md` specifies it."""

    __slots__ = ("_is_closing", "_on_pong", "_on_read_paused", "_protocol", "_transport")

    def __init__(self, protocol: Speaker) -> None:
        self._protocol = protocol
        self._is_closing = False
        self._on_pong: OnPong | None = None
        self._on_read_paused: OnReadPaused | None = None
        self._transport = BoundedTransport(
            protocol.transport, protocol.loop, self._closing, protocol.end
        )
        protocol.transport = self._transport

    # From the middleware.

    async def send(self, send: Send, event: Event) -> None:
        """Carry out what belongs to the extension; pass the application's events to `send`."""
        kind = event["type"]
        if kind == "websocket.ping":
            self.ping(event["bytes"], event["on_pong"])
        elif kind == "websocket.close" and "timeout" in event:
            self.fail(event["code"], event.get("reason", ""), event["timeout"])
        elif kind == "websocket.close":
            # Its Close frame may have to wait for a peer that reads nothing any more.
            self._transport.abort_after(self._transport.close_timeout)
            await send(event)
        elif kind == "websocket.accept":
            self._accept(event)
            await send({k: v for k, v in event.items() if k not in AcceptExtra.__annotations__})
            await self._protocol.accepted()
            if not self._protocol.is_established():  # the peer had left before
                self._closing()
        else:
            await send(event)

    def _accept(self, event: Event) -> None:
        if event.get("keepalive") is False:
            self._protocol.ping_interval = None
        if "close_timeout" in event:
            self._transport.close_timeout = event["close_timeout"]
        self._on_pong = event.get("on_pong")
        self._on_read_paused = event.get("on_read_paused")
        if self._is_closing:
            self._closing()  # they come too late

    def ping(self, payload: bytes, on_pong: OnPong) -> None:
        """Write a Ping frame."""
        self._must_be_open()
        self._protocol.write_ping(payload)
        if on_pong != self._on_pong:  # a bound method is another object each time: keep the old one
            self._on_pong = on_pong

    def fail(self, code: int, reason: str, timeout: float) -> None:
        """Fail the connection."""
        self._must_be_open()
        self._on_pong = self._on_read_paused = None
        self._protocol.write_close(code, reason)
        self._transport.close_timeout = timeout
        self._transport.linger()

    def traffic(self) -> Traffic:
        """Tell how things stand between the server and the peer."""
        if self._is_closing:
            return {}
        unsent, quiet = kernel.traffic(self._transport.get_extra_info("socket"))
        if buffered := self._transport.get_write_buffer_size():
            unsent = buffered + (unsent or 0)
        return {"unsent": unsent, "quiet": quiet}

    def _must_be_open(self) -> None:
        if self._is_closing or not self._protocol.is_established():
            raise ConnectionError("the WebSocket connection is not open")

    # From the protocol.

    def pong(self, payload: bytes) -> None:
        """A Pong frame has been parsed."""
        if self._on_pong is not None:
            self._on_pong(payload, time.monotonic())

    def read_paused(self, paused: bool) -> None:
        """Reading has paused, as the application is behind, or goes on."""
        if self._on_read_paused is not None:
            self._on_read_paused(paused, time.monotonic())

    def eof_received(self) -> bool:
        """The peer has shut down its side."""
        return self._transport.eof_received()

    def shutdown(self) -> bool:
        """The server wants to exit; return whether the connection is closing already."""
        return self._transport.hurry()

    @property
    def awaits_pong(self) -> bool:
        """Whether somebody wants to know of Pongs."""
        return self._on_pong is not None

    def connection_lost(self) -> None:
        """Nothing is left of the connection."""
        self._closing()
        self._transport.lost()

    def _closing(self) -> None:
        self._is_closing = True
        on_pong, self._on_pong, self._on_read_paused = self._on_pong, None, None
        if on_pong is not None:
            on_pong(None, time.monotonic())
