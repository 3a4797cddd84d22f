"""One WebSocket connection: what the application sees of it, and how it is failed.

It stands between the application and the server's `receive` and `send`. It speaks to the server
only through the `websocket.ping` extension; its Pings are those of `Pinging`.

A failure is final: from that instant `send` raises, and `receive`, once the server has nothing
more that had arrived, returns the same disconnect for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from . import report
from .exceptions import KeepaliveTimeout
from .extension import Event, Server, Traffic
from .heartbeat import Ping
from .observers import Factory
from .pinging import MISTAKES, Pinging
from .report import logger
from .settings import Settings
from .stepping import Released, Suspended, call, poll
from .verdict import judge

CODE = 1011
REASON = "keepalive ping timeout"


class Connection(Pinging):
    """One connection, as its application sees it.

    Args:
        server: What speaks the extension.
        settings: The settings to begin with.
        factories: What observes it.
    """

    __slots__ = ("_calls", "_drained", "timed_out")

    def __init__(
        self, server: Server, settings: Settings, factories: tuple[Factory, ...] = ()
    ) -> None:
        super().__init__(server, settings, factories)
        self.timed_out = False
        self._calls: list[Suspended] = []  # blocked in the server
        self._drained = False  # after a failure: the server has nothing more to receive

    # What the application calls.

    async def receive(self) -> Event:
        """ASGI's `receive`; after a failure it never blocks."""
        watch = self._watch
        if time.monotonic() > (self._turn_due if watch is None else watch.turn_due):
            await self._turn()
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
        if self._watch is None:
            await self._turn_if_due()
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
        except Released:
            raise KeepaliveTimeout(self.keepalive) from None
        except Exception as error:
            if not self.timed_out:
                await self._turn_if_due()
                raise
            raise KeepaliveTimeout(self.keepalive) from error
        watch = self._watch
        # Not before the event is on its way: another one might overtake it.
        if watch is not None and time.monotonic() > watch.turn_due:
            await self._turn()
        elif self._server.is_closing():
            await asyncio.sleep(0)  # for the event loop to tell so
        if self.timed_out:
            raise KeepaliveTimeout(self.keepalive)
        if kind == "websocket.accept":
            self._start()

    # What the middleware calls.

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

    # What the heartbeat calls.

    def _fail(self, ping: Ping, now: float) -> None:
        """Fail the connection (RFC 6455 7.1.7) and release the application at once."""
        traffic: Traffic = {}
        with contextlib.suppress(*MISTAKES):  # it is evidence of a failure, no reason for none
            traffic = self._server.traffic()
        verdict = judge(
            traffic,
            waited=now - ping.sent_at,
            timeout=ping.timeout,
            paused=self._heartbeat.paused(ping, now),
            stalled=ping.put_off,
        )
        try:
            self._server.fail(CODE, REASON, self.keepalive.close_timeout)
        except OSError:  # it is closing for another reason, which the server tells
            self._stop()
            return
        except MISTAKES:
            logger.exception("%s: the server cannot fail the connection", str(self))
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
