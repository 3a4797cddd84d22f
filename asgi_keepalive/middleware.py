"""`KeepaliveMiddleware`, the ASGI callable."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from weakref import WeakSet

from .applications import single_callable
from .browser.heartbeats import Heartbeats, take_nonce
from .calls import Calls
from .connection import Connection
from .drain import Draining, Group, Groups
from .extension import Application, Disconnected, Receive, Scope, Send, Server
from .levels import RAISED
from .log import logger
from .observers import Factory, factories
from .scopes import find_keepalive, with_keepalive
from .servers import find
from .servers.advice import Advice, advise
from .settings import Liveness, Settings, check_duration
from .state import Keepalive, KeepaliveTimeout
from .text import shown
from .unsupported import Observed, refuse, turn_away


class KeepaliveMiddleware:
    """ASGI middleware that keeps WebSocket connections alive and notices dead peers.

    Times are in seconds, and mean what they mean in the `websockets` library.

    Example::

        app.add_middleware(KeepaliveMiddleware, ping_interval=20, ping_timeout=20)  # Starlette
        app = KeepaliveMiddleware(app, ping_interval=20, ping_timeout=20)  # any application

    Args:
        app: The ASGI application to wrap. Scopes other than `websocket` reach it untouched.
        ping_interval: From one Ping (RFC 6455 5.5.2) to the next. `None` turns keepalive and
            heartbeat off; the server's own keepalive is off in any case.
        ping_timeout: How long to wait for the matching Pong before the connection is failed
            with close code 1011. `None` keeps the Pings but never times out.
        close_timeout: How long a closing connection may take to flush before TCP is aborted;
            0 does not wait, `None` is not allowed. The application never waits for this.
        liveness: What shows that a peer lives. With "pong" only the matching Pong does. With
            "progress" its deadline is put off while data goes on from the peer, or to the peer in
            front of the Ping, within every `ping_timeout`.
        required: Whether a connection that cannot be kept alive is refused with close code 1011
            before accept, and an error logged that says why. Otherwise it runs without keepalive.
        max_age: How old a connection may become, counted from its handshake. It is closed with 1001
            "max age" within the last tenth of that, at random. `None` is no limit.
        notice: How long before a planned end, by `max_age` or a drain, its observers and its page
            are told of it.
        drain_window: Over how long the open connections are closed with 1012 when the server exits,
            one after another; less if the server waits for less. `None` leaves that to the server,
            which closes them as it does.
        observers: Callables that take the scope of a connection and return what is told of it, an
            `Observer`, or `None` to leave it out; see `asgi_keepalive.observers`.

    Raises:
        TypeError: The application cannot be called as one, a setting is not a number (nor `None`,
            where that is allowed), `liveness` is not a string, `required` is not a bool, or an
            observer is not callable.
        ValueError: A setting is not finite, or too small, or `liveness` is something else.

    Both are logged as well, as Starlette builds its middleware where an exception gets lost.
    """

    def __init__(
        self,
        app: Application,
        *,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        close_timeout: float = 10.0,
        liveness: Liveness = "pong",
        required: bool = False,
        max_age: float | None = None,
        notice: float = 5.0,
        drain_window: float | None = None,
        observers: Iterable[Factory] = (),
    ) -> None:
        try:
            self.app = single_callable(app)
            self.settings = Settings(
                *(ping_interval, ping_timeout, close_timeout, liveness, required),
                *(max_age, notice, drain_window),
            )
            self.observers = factories(observers)
        except (TypeError, ValueError) as error:
            logger.error("KeepaliveMiddleware: %s", error)
            raise
        self._groups = Groups(self.settings)
        self._warned: set[str] = set()
        _middlewares.add(self)

    def __repr__(self) -> str:
        return f"<KeepaliveMiddleware around {shown(self.app)}: {self.settings}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application. A `KeepaliveTimeout` of this connection that leaves it ends here.

        Raises:
            TypeError: Something else stands in `scope["state"]["keepalive"]`.
        """
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        draining = self._groups.draining
        if draining is not None:
            draining.refused += 1
            await turn_away(scope, receive, send, draining, find)
            return
        outer = find_keepalive(scope)
        if outer is not None:
            await self._run_inside(outer, scope, receive, send)
            return
        nonce, scope = take_nonce(scope)
        server = find(scope, receive, send)
        if isinstance(server, Advice) and _may_be_early():
            await asyncio.sleep(0)
            server = find(scope, receive, send)
        connection = self._take_over(server, scope, receive, send)
        if isinstance(connection, Advice):
            keepalive = Keepalive(self.settings)
            keepalive._give_up(connection.off)
            if not self.settings.required:
                self._warn(connection.server, "keepalive is %s", connection.off)
            scope = with_keepalive(scope, keepalive)
            await self._run_unsupported(scope, keepalive, receive, send, nonce)
            return
        assert isinstance(server, Server)  # or there would be no connection
        calls = Calls(server, connection)
        group = self._join(connection)
        try:
            await self._run(
                connection.scope, connection.keepalive, calls.receive, calls.send, nonce
            )
        except (KeepaliveTimeout, Disconnected, BaseExceptionGroup) as error:
            if not _is_normal(error, connection.keepalive):
                raise
        finally:
            connection.on_returned()
            group.leave(connection)

    def _join(self, connection: Connection) -> Group:
        """Let a connection be one of those that can be drained, until it leaves this group."""
        group = self._groups.here
        group.join(connection)
        if self.settings.drain_window is not None and not connection.announce_exit(group.exit):
            self._warn("exit", "drain_window has no effect: %s", NO_EXIT)
        return group

    def _take_over(
        self, server: Server | Advice, scope: Scope, receive: Receive, send: Send
    ) -> Connection | Advice:
        """Return the connection, or why it cannot be kept alive."""
        if isinstance(server, Advice):
            return server
        try:
            return Connection(server, scope, self.settings, self.observers)
        except RAISED as refusal:
            logger.debug("the server refuses to be taken over", exc_info=refusal)
            return advise(
                receive, send, f"its websocket.ping extension cannot be used: {refusal!r}"
            )

    async def _run_inside(
        self, outer: Keepalive, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run the application of a connection that an outer middleware has, with other settings."""
        outer._configure(self.settings.inside(outer._settings))
        connection = outer._link
        if outer.supported and isinstance(connection, Connection):
            outer._observe(self.observers)
            group = self._join(connection)
            try:
                await self.app(scope, receive, send)
            finally:
                group.leave(connection)
        else:
            await self._run_unsupported(scope, outer, receive, send, None)

    async def _run_unsupported(
        self, scope: Scope, keepalive: Keepalive, receive: Receive, send: Send, nonce: str | None
    ) -> None:
        """Run the application as if unwrapped; or refuse the connection, if it has to be kept."""
        if self.settings.required:
            await refuse(scope, keepalive, receive, send)
            return
        if keepalive._observe(self.observers) or not self.observers:
            await self._run(scope, keepalive, receive, send, nonce)
            return
        with Observed(scope, keepalive, receive, send, self.observers) as observed:
            await self._run(scope, keepalive, observed.receive, observed.send, nonce)

    async def _run(
        self, scope: Scope, keepalive: Keepalive, receive: Receive, send: Send, nonce: str | None
    ) -> None:
        """Run the application, and send heartbeats meanwhile to a page that asks for them."""
        if nonce is None:
            await self.app(scope, receive, send)
            return
        heartbeats = Heartbeats(nonce, keepalive, receive, send)
        try:
            await self.app(scope, heartbeats.receive, heartbeats.send)
        finally:
            heartbeats.end()

    def _warn(self, what: str, text: str, *details: str) -> None:
        """Warn once."""
        if what not in self._warned:
            self._warned.add(what)
            logger.warning(text, *details)

    @property
    def draining(self) -> Draining | None:
        """The progress of a drain in the running event loop; `None` if none has begun.

        Raises:
            RuntimeError: No event loop is running.
        """
        return self._groups.here.draining

    async def drain(self, window: float) -> None:
        """Close the connections of the running event loop one after another; refuse new ones.

        Each connection is closed with 1012 "service restart", at a time that is spread evenly over
        the window. Handshakes are refused with HTTP status 503; where the server cannot do that,
        they are accepted and closed with 1012. This is for good. Called again, it can only become
        faster.

        Example::

            await middleware.drain(10)

        It returns when the applications of all connections have returned, at the latest
        `close_timeout` after the last has been closed. Cancelled, it lets the drain go on.

        Args:
            window: Over how many seconds; 0 closes all at once.

        Raises:
            TypeError: `window` is not a number.
            ValueError: It is not finite, or negative.
            RuntimeError: The running event loop is none of asyncio's.
        """
        check_duration("window", window)
        group = self._groups.here
        group.begin(window)
        await group.drained()


NO_EXIT = (
    "this server does not tell of its exit in time, so its connections are closed at once then. "
    "Call drain() before"
)

_middlewares: WeakSet[KeepaliveMiddleware] = WeakSet()


async def drain(window: float) -> None:
    """Drain every `KeepaliveMiddleware` of the process, see `KeepaliveMiddleware.drain`.

    It is for where the middleware itself is not at hand, as `app.add_middleware` makes it.

    Example::

        @app.post("/drain")
        async def prepare_to_stop() -> None:
            await asgi_keepalive.drain(10)

    Args:
        window: Over how many seconds; 0 closes all at once.

    Raises:
        TypeError: `window` is not a number.
        ValueError: It is not finite, or negative.
    """
    check_duration("window", window)
    await asyncio.gather(*[middleware.drain(window) for middleware in _middlewares])


def _may_be_early() -> bool:
    """Whether the application may have begun before its server had the connection complete.

    An eager task does, and the task factory of a loop makes such tasks.
    """
    with contextlib.suppress(RuntimeError):  # the loop is none of asyncio's
        return asyncio.get_running_loop().get_task_factory() is not None
    return False


def _is_normal(error: BaseException, keepalive: Keepalive) -> bool:
    """Whether the error is nothing but the end of this connection."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_normal(inner, keepalive) for inner in error.exceptions)
    if isinstance(error, KeepaliveTimeout):
        return error.keepalive is keepalive
    return isinstance(error, Disconnected)
