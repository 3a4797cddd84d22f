"""The `websocket.ping` extension of ASGI: its name and its events.

`docs/extension.md` specifies it. What a middleware sends through it are ordinary ASGI events
with a few more keys; their values are Python objects, so it serves a server in the same process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, NamedTuple, NotRequired, Protocol, TypedDict

EXTENSION = "websocket.ping"
"""The key in `scope["extensions"]`."""

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[Any]]
"""Any ASGI 3 application, however strictly its own events are typed."""


class OnPong(Protocol):
    """Called for each Pong frame as it is parsed, and with `None` once none can come any more."""

    def __call__(self, payload: bytes | None, time: float, /) -> None: ...


class OnReadPaused(Protocol):
    """Called when the server stops reading because too much is unread, and when it goes on."""

    def __call__(self, paused: bool, time: float, /) -> None: ...


class Traffic(TypedDict, total=False):
    """How things stand between a server and a peer; `None`, or nothing, where it cannot tell.

    Attributes:
        unsent: How many written bytes cannot leave, as the peer or the network has no room.
        quiet: Seconds since anything came from the peer.
    """

    unsent: int | None
    quiet: float | None


class PingEvent(TypedDict):
    """Write a Ping frame."""

    type: Literal["websocket.ping"]
    bytes: bytes
    on_pong: OnPong


class AcceptExtra(TypedDict, total=False):
    """What `websocket.accept` may carry besides the keys of the ASGI specification.

    `on_pong` comes with each Ping, too, for servers that do not know it here.
    """

    keepalive: bool
    close_timeout: float
    on_pong: OnPong
    on_read_paused: OnReadPaused


class FailEvent(TypedDict):
    """Fail the connection (RFC 6455 7.1.7): a `websocket.close` with a timeout."""

    type: Literal["websocket.close"]
    code: int
    reason: NotRequired[str]
    timeout: float


class Disconnected(ConnectionError):
    """What `send` raises when the peer has gone, on servers whose own drops the event in silence.

    It is no news that it leaves an application: uvicorn is as quiet about its own.
    """

    def __init__(self) -> None:
        super().__init__("the WebSocket connection is lost or closing")


class Server(NamedTuple):
    """What a connection calls on its server's side, in whichever way that speaks the extension.

    Attributes:
        receive: ASGI's.
        send: ASGI's, which understands the extension's keys of accept and close.
        send_other: ASGI's, for the application's other events. They go the way that the
            middleware was given, so that whatever stands there keeps seeing them.
        ping: The extension's *Ping*, with its payload.
        fail: The extension's *Fail*, with code, reason and timeout.
        traffic: The extension's *Traffic*.
        ends_calls: Whether `fail` ends every `receive`, and every `send` of the application, that
            is waiting or comes later.
        is_closing: Whether nothing can be written any more, where that may be known before it is
            told.
    """

    receive: Receive
    send: Send
    send_other: Send
    ping: Callable[[bytes, OnPong], None]
    fail: Callable[[int, str, float], None]
    traffic: Callable[[], Traffic]
    ends_calls: bool = False
    is_closing: Callable[[], bool] = bool
