"""One WebSocket connection: what the application sees of it, and the heartbeat beneath.

It stands between the application and the server's `receive` and `send`, owns the one timer, and
fails the connection. It speaks to the server only through the `websocket.ping` extension, and
`Heartbeat` tells it what to do when.

The heartbeat is open from the application's accept to its close, to the end of the connection,
or to its failure, whichever comes first. A failure is final: from that instant `send` raises,
and `receive`, once the server has nothing more that had arrived, returns the same disconnect for
ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time

from . import report
from .alarm import Alarm
from .exceptions import KeepaliveTimeout, PingTimeout
from .extension import AcceptExtra, Event, Scope, Server
from .heartbeat import Expire, Heartbeat, Ping, SendPing
from .observers import Factory, Observers
from .report import logger
from .settings import Settings
from .state import Keepalive
from .stepping import Released, Suspended, call, poll
from .verdict import judge

CODE = 1011
REASON = "keepalive ping timeout"


class Connection(Alarm):
    """The keepalive of one connection.

    Args:
        server: What speaks the extension.
        settings: The settings to begin with.
        factories: What observes it.

    Attributes:
        scope: The application's ASGI scope, for the log and the observers; to be set.
    """

    __slots__ = (
        "__weakref__",
        "_calls",
        "_drained",
        "_factories",
        "_observers",
        "_paused_since",
        "_pings",
        "_server",
        "keepalive",
        "scope",
        "timed_out",
    )

    def __init__(
        self, server: Server, settings: Settings, factories: tuple[Factory, ...] = ()
    ) -> None:
        super().__init__(Heartbeat(settings))
        self.scope: Scope = {}
        self.keepalive = Keepalive(settings, self, self._heartbeat.round_trips)
        self.timed_out = False
        self._factories = factories
        self._observers: Observers | None = None
        self._calls: list[Suspended] = []  # blocked in the server
        self._server = server
        self._drained = False  # after a failure: the server has nothing more to receive
        self._paused_since: float | None = None  # when the server stopped reading ahead
        self._pings: dict[bytes, asyncio.Future[float]] = {}  # manual ones, by payload

    # What the application calls.

    async def receive(self) -> Event:
        """ASGI's `receive`; after a failure it never blocks."""
        if self.timed_out:
            return self._receive_what_is_left()
        try:
            receiving = self._server.receive()
            event: Event = await (
                receiving if self._server.ends_calls else call(receiving, self._calls)
            )
        except Exception:
            if not self.timed_out:
                raise
            return self._disconnect()
        if event["type"] == "websocket.disconnect":
            if self.timed_out:
                return self._disconnect()
            self._stop()
        return event

    async def send(self, event: Event) -> None:
        """ASGI's `send`; after a failure it raises `KeepaliveTimeout`."""
        if self.timed_out:
            raise KeepaliveTimeout(self.keepalive)
        kind = event.get("type")
        if kind == "websocket.accept":
            sending = self._server.send({**event, **self._accept_extra()})
        elif kind == "websocket.close":
            self._stop()
            sending = self._server.send(event)
        else:
            sending = self._server.send_other(event)
        try:
            await (sending if self._server.ends_calls else call(sending, self._calls))
        except asyncio.CancelledError:
            if kind == "websocket.accept":
                self._start()  # the server accepts all the same
            raise
        except Exception as error:
            if not self.timed_out:
                raise
            cause = None if isinstance(error, Released) else error
            raise KeepaliveTimeout(self.keepalive) from cause
        if self.timed_out:
            raise KeepaliveTimeout(self.keepalive)
        if kind == "websocket.accept":
            self._start()

    async def ping(self) -> float:
        """Send a manual Ping, see `Keepalive.ping`."""
        if not self._heartbeat.is_open:
            raise self.keepalive._closed_error()
        ping = self._heartbeat.ping(_payload(), time.monotonic())
        answer = self._pings[ping.payload] = self._loop.create_future()
        self._write(ping)
        self._arm()
        try:
            latency: float = await answer
            return latency
        finally:
            self._pings.pop(ping.payload, None)
            self._heartbeat.give_up(ping)

    # What the middleware calls.

    def configure(self, settings: Settings) -> None:
        """Use other settings for the rest of the connection."""
        self._heartbeat.configure(settings)
        self._arm()

    def observe(self, factories: tuple[Factory, ...]) -> None:
        """Let others observe the connection, too."""
        new = tuple(one for one in factories if one not in self._factories)
        self._factories += new
        if self._watch is not None:
            self._join(new)

    def end(self) -> None:
        """The application has returned: leave nothing behind."""
        self._stop()
        self._tick = None
        self.keepalive._link = None

    # Calls into the server.

    def _receive_what_is_left(self) -> Event:
        """Return what the server has ready; once it has nothing more, the disconnect."""
        if not self._drained:
            with contextlib.suppress(Exception):  # NotReady, or the server's own
                event: Event = poll(self._server.receive())
                if event["type"] != "websocket.disconnect":
                    return event
        return self._disconnect()

    def _disconnect(self) -> Event:
        self._drained = True
        return {"type": "websocket.disconnect", "code": CODE, "reason": REASON}

    # The heartbeat.

    def _accept_extra(self) -> AcceptExtra:
        return {
            "keepalive": False,
            "close_timeout": self.keepalive.close_timeout,
            "on_read_paused": self._on_read_paused,
        }

    def _start(self) -> None:
        if self._watch is not None or self.keepalive._link is None:
            return  # accepted twice, or only after the application has returned
        self._heartbeat.open(time.monotonic())
        self._switch_on()
        self._join(self._factories)
        self._arm()

    def _join(self, factories: tuple[Factory, ...]) -> None:
        for factory in factories:
            self._observers = self._observers or Observers()
            self._observers.join(factory, self.scope)

    def _stop(self) -> None:
        """Send nothing, expect nothing, and time nothing any more."""
        self._heartbeat.close()
        self._switch_off()
        for answer in self._pings.values():
            if not answer.done():
                answer.set_exception(self.keepalive._closed_error())
        observers, self._observers = self._observers, None
        if observers is not None:
            observers.closed()

    def _on_timer(self) -> None:
        now = time.monotonic()
        grace = self._fired(now)
        for command in self._heartbeat.tick(now, _payload(), grace):
            if isinstance(command, SendPing):
                self._write(command.ping)
            elif isinstance(command, Expire):
                self._expire(command.ping, now)
            else:
                self._fail(command.ping, now)
        self._arm()

    def _write(self, ping: Ping) -> None:
        try:
            self._server.ping(ping.payload, self._on_pong)
        except OSError:
            self._stop()
        if not self._heartbeat.is_open:  # the connection is closing, perhaps as this Ping told
            return
        self._heartbeat.written(ping, time.monotonic())
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: Ping %s", self, ping.payload.hex())
        if self._observers is not None:
            self._observers.pinged()

    def _expire(self, ping: Ping, now: float) -> None:
        answer = self._pings[ping.payload]  # as long as it is manual somebody waits for it
        if not answer.done():
            answer.set_exception(PingTimeout(f"no Pong for {now - ping.sent_at:.3g} s"))

    def _fail(self, ping: Ping, now: float) -> None:
        """Fail the connection (RFC 6455 7.1.7) and release the application at once."""
        paused_since = self._paused_since
        verdict = judge(
            self._server.traffic(),
            waited=now - ping.sent_at,
            behind=None if paused_since is None else now - paused_since,
            stalled=ping.put_off,
        )
        try:
            self._server.fail(CODE, REASON, self.keepalive.close_timeout)
        except OSError:  # it is closing for another reason, which the server tells
            self._stop()
            return
        except Exception:
            logger.exception("%s: the server cannot fail the connection", self)
        self.timed_out = True
        self.keepalive._verdict = verdict
        observers, self._observers = self._observers, None
        self._stop()
        for waiting in self._calls:
            waiting.release()
        report.timed_out(self.scope, verdict, self.keepalive.latency)
        if observers is not None:
            observers.failed(verdict)
            observers.closed()

    def __str__(self) -> str:
        return report.name(self.scope)

    # What the server calls.

    def _on_pong(self, payload: bytes | None, now: float) -> None:
        if payload is None:
            self._stop()
            return
        acknowledged = self._heartbeat.pong(payload, now)
        if not acknowledged:
            return
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: Pong %s", self, payload.hex())
        if self._pings:
            self._answer(acknowledged, now)
        self._arm()
        if self._observers is not None:
            latency = self._heartbeat.round_trips.latency
            assert latency is not None  # it is that of this Pong
            self._observers.ponged(latency)

    def _answer(self, acknowledged: list[Ping], now: float) -> None:
        for ping in acknowledged:
            answer = self._pings.get(ping.payload)
            if answer is not None and not answer.done():
                answer.set_result(max(0.0, now - ping.sent_at))

    def _on_read_paused(self, paused: bool, now: float) -> None:
        self._paused_since = now if paused else None


def _payload() -> bytes:
    # Peers see it, so it must tell nothing of the generator that the application may be using.
    return os.urandom(4)
