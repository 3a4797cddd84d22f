"""The keepalive of one WebSocket connection: its Pings, their Pongs, and who is told of them.

`Heartbeat` says when a Ping is due and what a Pong answers. Here Pings are written, through the
`websocket.ping` extension, for it and for the application.

The heartbeat is open from the application's accept to its close, to the end of the connection,
or to its failure, whichever comes first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable

from .alarm import Alarm
from .exceptions import KeepaliveUnsupported
from .extension import AcceptExtra, Scope, Server
from .heartbeat import Command, Expire, Heartbeat, Ping, SendPing
from .manual import ManualPings
from .observers import Factory, Observers
from .report import logger, name
from .settings import Settings
from .state import Keepalive

MISTAKES = (Exception, asyncio.CancelledError)
"""What a server, or something before it, may raise apart from an `OSError`."""


class Pinging(Alarm):
    """Does what the heartbeat of a connection wants, but for failing the connection.

    Attributes:
        scope: The application's ASGI scope, for the log and the observers; to be set.
        keepalive: What the application sees of it.
    """

    __slots__ = (
        "__weakref__",
        "_accepted",
        "_factories",
        "_manual",
        "_observers",
        "_refused",
        "_server",
        "keepalive",
        "scope",
    )

    def __init__(self, server: Server, settings: Settings, factories: tuple[Factory, ...]) -> None:
        super().__init__(Heartbeat(settings))
        self.scope: Scope = {}
        self.keepalive = Keepalive(settings, self, self._heartbeat.round_trips)
        self._accepted = False  # by the application
        self._factories = factories
        self._manual = ManualPings()
        self._observers: Observers | None = None
        self._refused = False  # whether the last keepalive Ping has been
        self._server = server

    # For the heir.
    def _fail(self, ping: Ping, now: float) -> None: ...

    # What the application and the middleware call, through `Keepalive`.

    async def ping(self) -> float:
        """Send a manual Ping, see `Keepalive.ping`."""
        await self._turn_if_due()
        if not self._heartbeat.is_open:
            raise self.keepalive._closed_error()
        ping = self._heartbeat.ping(_payload(), time.monotonic())
        answer = self._manual.expect(ping)
        try:
            self._write(ping)
            self._arm()
            return await answer
        finally:
            del answer  # it holds the error whose traceback holds this frame
            self._manual.forget(ping)
            self._heartbeat.give_up(ping)

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

    # What the connection calls.

    def _start(self) -> None:
        if self._accepted or self.keepalive._link is None:
            return  # accepted twice, or only after the application has returned
        self._accepted = True
        self._heartbeat.open(time.monotonic())
        self._switch_on()
        self._join(self._factories)
        self._arm()
        if not self._heartbeat.is_open:  # the peer has left already
            self._stop()

    def _join(self, factories: tuple[Factory, ...]) -> None:
        for factory in factories:
            self._observers = self._observers or Observers()
            self._observers.join(factory, self.scope)

    def _stop(self) -> None:
        """The connection is closing or lost."""
        self._end_heartbeat(self.keepalive._closed_error)
        observers, self._observers = self._observers, None
        if observers is not None:
            observers.closed()

    def _end_heartbeat(self, error: Callable[[], Exception]) -> None:
        """Send nothing, expect nothing, and time nothing any more."""
        self._heartbeat.close()
        self._switch_off()
        self._manual.end(error)

    # What the timer calls.

    def _on_timer(self) -> None:
        now = time.monotonic()
        grace = self._fired(now)
        try:
            for command in self._heartbeat.tick(now, _payload(), grace):
                self._carry_out(command, now)
        finally:  # a heartbeat that is open goes on, whatever has been raised
            self._arm()

    def _carry_out(self, command: Command, now: float) -> None:
        if isinstance(command, SendPing):
            try:
                self._write(command.ping)
                self._refused = False
            except KeepaliveUnsupported as refusal:
                self._on_refusal(refusal)
        elif isinstance(command, Expire):
            self._manual.expire(command.ping, now)
        else:
            self._fail(command.ping, now)

    def _on_refusal(self, refusal: KeepaliveUnsupported) -> None:
        """One refusal may be an accident, two in a row are not."""
        if self._refused:
            self.keepalive._supported = False
            self._end_heartbeat(lambda: KeepaliveUnsupported(*refusal.args))
            return
        self._refused = True
        logger.warning(
            "%s: a Ping was refused; if the next is, too, keepalive is off for this connection",
            str(self),
            exc_info=refusal.__cause__,
        )

    def _write(self, ping: Ping) -> None:
        """Write a Ping.

        Raises:
            KeepaliveUnsupported: The server, or something before it, has refused it.
        """
        try:
            self._server.ping(ping.payload, self._on_pong)
        except OSError:
            self._stop()
        except MISTAKES as error:
            self._heartbeat.refused(ping, time.monotonic())
            raise KeepaliveUnsupported("the server has refused the Ping") from error
        if not self._heartbeat.is_open:  # the connection is closing, perhaps as this Ping told
            return
        self._heartbeat.written(ping, time.monotonic())
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: Ping %s", str(self), ping.payload.hex())
        if self._observers is not None:
            self._observers.pinged()

    def __str__(self) -> str:
        return name(self.scope)

    # What the server calls.

    def _accept_extra(self) -> AcceptExtra:
        return {
            "keepalive": False,
            "close_timeout": self.keepalive.close_timeout,
            "on_pong": self._on_pong,
            "on_read_paused": self._on_read_paused,
        }

    def _on_pong(self, payload: bytes | None, now: float) -> None:
        if payload is None:
            self._stop()
            return
        acknowledged = self._heartbeat.pong(payload, now)
        if not acknowledged:
            return
        if self._manual:
            self._manual.acknowledge(acknowledged, now)
        self._arm()
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: Pong %s", str(self), payload.hex())
        if self._observers is not None:
            latency = self._heartbeat.round_trips.latency
            assert latency is not None  # it is that of this Pong
            self._observers.ponged(latency)

    def _on_read_paused(self, paused: bool, now: float) -> None:
        self._heartbeat.read_paused(paused, now)
        self._arm()


def _payload() -> bytes:
    # Peers see it, so it must tell nothing of the generator that the application may be using.
    return os.urandom(4)
