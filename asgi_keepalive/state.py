"""The object in `scope["state"]["keepalive"]`, which an application reads."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from .exceptions import ConnectionClosed, KeepaliveError, KeepaliveUnsupported
from .latency import RoundTrips, Statistics
from .settings import Liveness, Settings
from .verdict import Verdict

UNCHANGED: Any = object()
"""It stands for a keyword that has not been given."""


class Link(Protocol):
    """The live connection behind a `Keepalive`."""

    def configure(self, settings: Settings) -> None: ...
    def observe(self, factories: tuple[Any, ...]) -> None: ...
    async def ping(self) -> float: ...
    def skip(self) -> bool: ...

    @property
    def awaited_since(self) -> float | None: ...

    @property
    def state(self) -> Enum: ...


class Keepalive:
    """The keepalive of one WebSocket connection, for its application to read.

    Every attribute is read-only, and stays readable after the connection has ended, from any
    thread. `ping` and `configure` are for the event loop's own.

    Example::

        keepalive = get_keepalive(websocket)
        print(keepalive.supported, keepalive.latency, keepalive.timed_out)
    """

    __slots__ = (
        "__weakref__",
        "_ended",
        "_ends_at",
        "_join",
        "_link",
        "_off",
        "_on_news",
        "_reconnect_after",
        "_round_trips",
        "_settings",
        "_supported",
        "_thread",
        "_verdict",
    )

    def __init__(
        self,
        settings: Settings,
        link: Link | None = None,
        round_trips: RoundTrips | None = None,
    ) -> None:
        self._settings = settings
        self._link = link
        self._supported = link is not None
        self._off = "off: this server gives no access to Ping and Pong frames"
        self._join: Callable[[tuple[Any, ...]], None] | None = None  # where there is no link
        self._round_trips = round_trips or RoundTrips()
        self._thread = threading.get_ident()
        self._verdict: Verdict | None = None
        self._ended: str | None = None  # why, as planned
        self._ends_at: float | None = None
        self._reconnect_after: float | None = None  # for a page, once notice has been given
        self._on_news: Callable[[], None] | None = None  # it tells a page

    def __repr__(self) -> str:
        latency = "unknown" if self.latency is None else f"{self.latency:.3g} s"
        return f"<Keepalive: {self._told()}; latency {latency}; {self._settings}>"

    @property
    def supported(self) -> bool:
        """Whether the server gives access to Ping and Pong frames.

        If not, the application runs as it would without the middleware: nothing is sent, nothing
        times out, and `ping` raises. (With `required` it does not run.) It turns false when the
        server refuses two keepalive Pings in a row; a warning tells of the first.
        """
        return self._supported

    @property
    def latency(self) -> float | None:
        """Round-trip time of the last Ping that was answered, in seconds; `None` before that."""
        return self._round_trips.latency

    @property
    def statistics(self) -> Statistics:
        """The round trips so far, as they are now; a snapshot that does not change any more."""
        return self._round_trips.snapshot()

    @property
    def timed_out(self) -> bool:
        """Whether the connection has been failed because a Pong was overdue.

        With `required` it may also have been failed because its Pings were refused.
        """
        return self._verdict is not None

    @property
    def verdict(self) -> Verdict | None:
        """Why the connection has been failed, with the evidence; `None` if it has not."""
        return self._verdict

    @property
    def ends_at(self) -> float | None:
        """When the connection is closed as planned, by `max_age` or a drain.

        It is a time in seconds of `time.monotonic()`, and `None` if no end is planned. A drain may
        move it to an earlier time.
        """
        return self._ends_at

    @property
    def ping_interval(self) -> float | None:
        """Seconds from one Ping to the next; `None` sends none."""
        return self._settings.ping_interval

    @property
    def ping_timeout(self) -> float | None:
        """Seconds to wait for a Pong; `None` waits for ever."""
        return self._settings.ping_timeout

    @property
    def close_timeout(self) -> float:
        """Seconds that a closing connection may take to flush before TCP is aborted."""
        return self._settings.close_timeout

    @property
    def liveness(self) -> Liveness:
        """The sign of life that counts: "pong" or "progress", as for `KeepaliveMiddleware`."""
        return self._settings.liveness

    @property
    def max_age(self) -> float | None:
        """Seconds within which the connection is closed, as for `KeepaliveMiddleware`."""
        return self._settings.max_age

    async def ping(self) -> float:
        """Send a Ping now (RFC 6455 5.5.2) and wait for its Pong.

        It updates `latency` and never fails the connection. Several may be in flight, and
        cancelling one harms neither the connection nor the others.

        Example::

            try:
                latency = await keepalive.ping()
            except KeepaliveError:
                latency = None

        Returns:
            The round-trip time in seconds.

        Raises:
            PingTimeout: No Pong came within `ping_timeout`; the connection is still open. With
                `ping_timeout=None` it waits as long as the connection lasts.
            ConnectionClosed: The connection has not been accepted yet, or is closing or closed; or
                was closed meanwhile.
            KeepaliveTimeout: The connection has been failed by its keepalive.
            KeepaliveUnsupported: The server has no Pings to offer, see `supported`, or something
                has refused this one, which is the error's cause.
            RuntimeError: This is not the connection's event loop, or not its thread; nothing has
                been sent.
        """
        self._must_be_called_in_its_thread("ping", "asyncio.run_coroutine_threadsafe")
        if not self._supported:
            raise KeepaliveUnsupported(
                f"ping() must not be called where `supported` is false: keepalive is {self._off}"
            )
        if self._link is None:
            raise self._closed_error()
        return await self._link.ping()

    def configure(
        self,
        *,
        ping_interval: float | None = UNCHANGED,
        ping_timeout: float | None = UNCHANGED,
        close_timeout: float = UNCHANGED,
        liveness: Liveness = UNCHANGED,
        max_age: float | None = UNCHANGED,
    ) -> None:
        """Change settings for the rest of this connection, at once.

        The interval runs from the last Ping written, so a shorter one may be over already. A Ping
        in flight keeps its deadline, but if interval or timeout is now `None` it fails nothing any
        more. `close_timeout` bounds an ending that begins later. `max_age` counts from the
        handshake, so a connection may be too old already. A page that asked for heartbeats is told.
        After the end of the connection it is of no effect, and where `supported` is false only
        pages notice.

        Example::

            keepalive.configure(ping_interval=120, ping_timeout=60)

        Args:
            ping_interval: As for `KeepaliveMiddleware`, in seconds; unchanged if not given.
            ping_timeout: Likewise.
            close_timeout: Likewise.
            liveness: Likewise, "pong" or "progress".
            max_age: Likewise, in seconds; `None` takes the limit back.

        Raises:
            TypeError: A time is not a number (nor `None`, where that is allowed), or `liveness` is
                not a string; nothing has been changed.
            ValueError: A time is not finite, or too small, or `liveness` is something else; nothing
                has been changed.
            RuntimeError: This is not the event loop's thread; nothing has been changed.
        """
        self._must_be_called_in_its_thread("configure", "loop.call_soon_threadsafe")
        given = {
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "liveness": liveness,
            "max_age": max_age,
        }
        changes: Any = {name: value for name, value in given.items() if value is not UNCHANGED}
        self._configure(dataclasses.replace(self._settings, **changes))

    def _must_be_called_in_its_thread(self, name: str, how: str) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                f"{name}() must be called in the thread of the connection's event loop: in an "
                f"async def, or by {how} or asgiref.sync.async_to_sync"
            )

    # For the connection, the middleware and the list of open connections.

    @property
    def _awaited_since(self) -> float | None:
        """The time at which the first unanswered Ping was written; to be read in any thread."""
        link = self._link
        return None if link is None else link.awaited_since

    def _configure(self, settings: Settings) -> None:
        self._settings = settings
        if self._link is not None:
            self._link.configure(settings)
        self._tell_page()

    def _tell_page(self) -> None:
        if self._on_news is not None:
            self._on_news()

    def _observe(self, factories: tuple[Any, ...]) -> bool:
        """Let others observe the connection, too; return whether somebody tells them."""
        observe = self._join if self._link is None else self._link.observe
        if observe is not None:
            observe(factories)
        return observe is not None

    def _give_up(self, off: str) -> None:
        """Note that there is no keepalive: that it is "off", where, and why."""
        self._supported = False
        self._off = off

    def _told(self) -> str:
        """Return the state in words."""
        if self._verdict is not None:
            return f"failed, {self._verdict}"
        if not self._supported:
            return self._off
        link = self._link
        return "closed" if link is None else str(link.state.value)

    def _closed_error(self) -> ConnectionClosed | KeepaliveTimeout:
        """Return what a call that needs the open connection is to raise."""
        if self.timed_out:
            return KeepaliveTimeout(self)
        return ConnectionClosed(
            "the connection is closing or closed, so no Pong will come: catch ConnectionClosed, "
            "as a client may leave at any time"
        )


class KeepaliveTimeout(KeepaliveError, ConnectionError):
    """The connection has been failed because its peer did not answer a Ping in time.

    The application's `send` and `Keepalive.ping` raise it, from the instant of failure and for
    ever after. It is an `OSError`, as ASGI asks of `send` on a closed connection, and not a
    `TimeoutError`, which code around `asyncio.wait_for` would take for its own.

    Example::

        try:
            await send({"type": "websocket.send", "text": "hello"})
        except KeepaliveTimeout as timeout:
            print(timeout.verdict)

    Attributes:
        keepalive: The object in `scope["state"]["keepalive"]` of the failed connection.
    """

    def __init__(self, keepalive: Keepalive) -> None:
        super().__init__(f"keepalive ping timeout, {keepalive.verdict}")
        self.keepalive = keepalive

    @property
    def verdict(self) -> Verdict:
        """Why the connection has been failed, with the evidence."""
        verdict = self.keepalive.verdict
        assert verdict is not None  # it is there before anything raises this
        return verdict
