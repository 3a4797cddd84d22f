"""The `websocket.ping` extension of ASGI: its name, its functions and their callbacks.

`docs/extension.md` specifies it. A server puts plain functions into the scope. They are called on
the event loop's thread and never suspend. No ASGI event changes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple, Protocol, TypedDict

EXTENSION = "websocket.ping"
"""The key in `scope["extensions"]`."""

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[Any]]
"""Any ASGI 3 application, however strictly its own events are typed."""


class OnPong(Protocol):
    """The server calls it for each Pong frame as it is parsed, with `time.monotonic()`."""

    def __call__(self, payload: bytes, time: float, /) -> None: ...


class OnClosing(Protocol):
    """The server calls it once, when the connection begins to close or is lost."""

    def __call__(self) -> None: ...


class OnReadPaused(Protocol):
    """The server calls it when it stops reading, as too much is unread, and when it goes on."""

    def __call__(self, paused: bool, time: float, /) -> None: ...


class OnExit(Protocol):
    """The server calls it when it begins to exit, with the seconds that it leaves from then on."""

    def __call__(self, grace: float, /) -> None: ...


class Traffic(TypedDict, total=False):
    """The traffic between a server and a peer; each value is optional, or `None` if unknown.

    Attributes:
        unsent: So many written bytes cannot leave, as the peer or the network has no room.
        quiet: Seconds since anything came from the peer.
        acknowledged: So many bytes have come to the peer's kernel, in all.
        unacknowledged: So many written bytes have not, wherever they are.
        received: So many bytes have come from the peer, in all, read or unread.
    """

    unsent: int | None
    quiet: float | None
    acknowledged: int | None
    unacknowledged: int | None
    received: int | None


class Extension(TypedDict, total=False):
    """The functions of `scope["extensions"]["websocket.ping"]`, by level.

    Attributes:
        take_over: Level 1: begins the use of the extension, and ends the server's own keepalive.
        ping: Level 1: writes a Ping frame.
        fail: Level 2: fails the connection (RFC 6455 7.1.7) with code, reason and timeout.
        read_ahead: Level 3: lets the server read ahead of the application.
        bound_closing: Level 4: bounds every ending of the connection, in seconds.
        traffic: Level 5: tells how things stand between the server and the peer.
        buffered: Level 5, optional: tells how many written bytes the server itself holds.
        announce_exit: Level 6: lets the server tell of its exit, and leave the closing to others.
    """

    take_over: Callable[[OnPong, OnClosing], None]
    ping: Callable[[bytes], None]
    fail: Callable[[int, str, float], None]
    read_ahead: Callable[[OnReadPaused], None]
    bound_closing: Callable[[float], None]
    traffic: Callable[[], Traffic]
    buffered: Callable[[], int]
    announce_exit: Callable[[OnExit], None]


def declared(scope: Scope) -> Mapping[str, Any] | None:
    """Return the functions that a server has declared, or `None` if level 1 is not there."""
    functions = (scope.get("extensions") or {}).get(EXTENSION)
    if not isinstance(functions, Mapping):
        return None
    if not all(callable(functions.get(name)) for name in ("take_over", "ping")):
        return None
    return functions


class Disconnected(ConnectionError):
    """`send` raises this when the peer has gone, where a server's own drops the event in silence.

    One that leaves an application is not logged, as uvicorn does not log its own.
    """

    def __init__(self) -> None:
        super().__init__("the WebSocket connection is lost or closing")


class Server(NamedTuple):
    """The server's side of one connection.

    Attributes:
        receive: The `receive` of ASGI.
        send: The `send` of ASGI, for all events but messages.
        extension: The functions of the extension.
        send_message: The `send` that the middleware was given, for messages: whatever wraps the
            server's own sees them.
        releases_calls: Whether `fail` ends every `receive`, and every `send` of the application,
            that is waiting or comes later.
        is_closing: Tells whether nothing can be written any more; it may know before `on_closing`
            is called.
        is_accepted: Whether the connection has been accepted before the middleware saw it.
    """

    receive: Receive
    send: Send
    extension: Mapping[str, Any]
    send_message: Send
    releases_calls: bool = False
    is_closing: Callable[[], bool] = bool
    is_accepted: bool = False
