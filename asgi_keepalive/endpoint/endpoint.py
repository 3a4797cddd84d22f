"""The functions of the `websocket.ping` extension on one connection, whatever the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.frames import Close

from ..extension import (
    Disconnected,
    Event,
    Extension,
    OnClosing,
    OnExit,
    OnPong,
    OnReadPaused,
    Send,
    Traffic,
)
from . import transports
from .adapter import Adapter, ReadingAdapter
from .closing import BoundedTransport
from .frames import LONGEST_REASON, SHORT, ping_frame
from .receiver import Receiver
from .receiving import receive


class Functions(Mapping[str, Any]):
    """The extension's functions of an endpoint, each made when it is looked up.

    A dictionary of them would take 600 bytes on every connection.
    """

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in Extension.__annotations__:
            raise KeyError(name)
        function: Callable[..., Any] = getattr(self._endpoint, name)
        return function

    def __iter__(self) -> Iterator[str]:
        return iter(Extension.__annotations__)

    def __len__(self) -> int:
        return len(Extension.__annotations__)


class Endpoint:
    """One connection of a server, on which the extension is offered.

    Args:
        adapter: The server's; its transport is replaced at once. If it is a `ReadingAdapter` its
            frames are read here.

    Attributes:
        transport_is_closing: Whether the transport itself knows that nothing can be written any
            more, before it tells.
    """

    __slots__ = (
        "_adapter",
        "_has_failed",
        "_is_closing",
        "_is_taken_over",
        "_on_closing",
        "_on_pong",
        "_on_read_paused",
        "_own_transport",
        "_receiver",
        "_transport",
        "transport_is_closing",
    )

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._has_failed = False
        self._is_closing = False
        self._is_taken_over = False
        self._on_closing: OnClosing | None = None
        self._on_pong: OnPong | None = None
        self._on_read_paused: OnReadPaused | None = None
        self._receiver: Receiver | None = None
        transport = self._own_transport = adapter.transport
        self._transport = BoundedTransport(
            transport, adapter.loop, self.closing, adapter.end_writing
        )
        # It is the transport's own until that closes; another would take 64 bytes.
        self.transport_is_closing: Callable[[], bool] = self._transport.is_closing
        adapter.use_transport(self._transport)
        if isinstance(adapter, ReadingAdapter):
            self._receiver = receive(adapter, transport, self)
            self._receiver.begin()  # if the application has accepted before

    # The middleware calls these.

    def take_over(self, on_pong: OnPong, on_closing: OnClosing) -> None:
        """Tell of Pongs, and once of the end; the server's own keepalive ends.

        Raises:
            RuntimeError: This has been called before.
        """
        if self._is_taken_over:
            raise RuntimeError("the connection has been taken over already")
        self._is_taken_over = True
        self._adapter.stop_keepalive()
        if self._is_closing:
            on_closing()
        else:
            self._adapter.bound_unsent()
            self._on_pong, self._on_closing = on_pong, on_closing

    def ping(self, payload: bytes) -> None:
        """Write a Ping frame (RFC 6455 5.5.2) behind what is buffered.

        Raises:
            ValueError: The payload is longer than 125 bytes.
            OSError: The connection is not open.
        """
        if len(payload) > SHORT:
            raise ValueError(f"a Ping carries at most {SHORT} bytes, not {len(payload)}")
        self._must_be_open()
        self._transport.write(ping_frame(payload))

    def fail(self, code: int, reason: str, timeout: float) -> None:
        """Fail the connection (RFC 6455 7.1.7); TCP is gone in `timeout` seconds.

        Raises:
            ValueError: The code must not be in a Close frame (7.4), the reason is longer than
                123 bytes, or the timeout is negative.
            OSError: The connection is not open.
        """
        if len(reason.encode()) > LONGEST_REASON:
            raise ValueError(f"a close reason has at most {LONGEST_REASON} bytes: {reason!r}")
        try:
            Close(code, reason).check()
        except ProtocolError as error:
            raise ValueError(f"{code} must not be in a Close frame") from error
        _must_be_seconds(timeout)
        self._must_be_open()
        self._drop_callbacks()
        self._has_failed = True
        self._adapter.write_close(code, reason)
        self._adapter.failed(code, reason)
        self._transport.close_timeout = timeout
        self._transport.linger()

    def announce_exit(self, on_exit: OnExit) -> None:
        """Tell of the server's exit, and leave the closing of an open connection to the caller."""
        if not self._is_closing:
            self._transport.on_exit = on_exit
            self._adapter.watch_exit()

    def read_ahead(self, on_read_paused: OnReadPaused) -> None:
        """Read ahead of the application, and tell when reading pauses and goes on."""
        if self._receiver is not None:
            self._receiver.read_ahead()
        if not self._is_closing:
            self._on_read_paused = on_read_paused

    def bound_closing(self, timeout: float) -> None:
        """Bound every ending of the connection, in seconds; of no effect once it has begun.

        Raises:
            ValueError: The timeout is negative.
        """
        _must_be_seconds(timeout)
        self._transport.close_timeout = timeout

    def traffic(self) -> Traffic:
        """Tell how things stand between the server and the peer."""
        if self._is_closing:
            return {}
        traffic = self._adapter.traffic()
        if self._receiver is not None:
            traffic.update(self._receiver.traffic())
        if buffered := self.buffered():
            traffic["unsent"] = buffered + (traffic.get("unsent") or 0)
            if (unacknowledged := traffic.get("unacknowledged")) is not None:
                traffic["unacknowledged"] = buffered + unacknowledged
        return traffic

    def buffered(self) -> int:
        """Return how many written bytes the transport holds."""
        return transports.buffered(self._own_transport)

    def _must_be_open(self) -> None:
        if self._is_closing or not self._adapter.is_open():
            raise ConnectionError("the WebSocket connection is not open")

    # The application's events, but messages, pass here.

    async def send(self, send: Send, event: Event) -> None:
        """Pass an event of the application to the server's own `send`."""
        if self._has_failed:
            raise Disconnected
        kind = event["type"]
        if kind == "websocket.close":
            # Its Close frame may have to wait for a peer that reads nothing any more.
            self._transport.abort_after(self._transport.close_timeout)
            if self._receiver is not None:
                self._receiver.discard()
        try:
            await send(event)
        finally:  # the server may have taken it though the call is cancelled
            if kind == "websocket.accept":
                self.accepted()

    def accepted(self) -> None:
        """The handshake is over."""
        if self._receiver is not None:
            self._receiver.begin()
        if not self._adapter.is_open():  # the peer had left before
            self.closing()

    # The receiver, the transport and the adapter tell of these.

    def pong(self, payload: bytes) -> None:
        """A Pong frame has been parsed."""
        if self._on_pong is not None:
            self._on_pong(payload, time.monotonic())

    def read_paused(self, paused: bool) -> None:
        """Reading has paused, as the application is behind, or goes on."""
        if self._on_read_paused is not None:
            self._on_read_paused(paused, time.monotonic())

    def eof_received(self) -> bool:
        """The peer has shut down its side; return whether its transport is to stay open."""
        return self._transport.eof_received()

    def closing(self) -> None:
        """The connection begins to close."""
        self._is_closing = True
        on_closing = self._on_closing
        self._drop_callbacks()
        if on_closing is not None:
            on_closing()

    def lost(self) -> None:
        """Nothing is left of the connection."""
        self.closing()
        self._transport.lost()

    def _drop_callbacks(self) -> None:
        self._on_pong = self._on_closing = self._on_read_paused = None
        self._transport.on_exit = None


def _must_be_seconds(timeout: float) -> None:
    if not timeout >= 0:
        raise ValueError(f"timeout must be a number of seconds, 0 or more, not {timeout!r}")
