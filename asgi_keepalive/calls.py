"""ASGI's `receive` and `send`, as the application of a connection calls them.

A failure is final, and so is a planned end. From that instant `send` raises. `receive` returns what
the server has ready, and then the same disconnect for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from typing import Any

from .connection import Connection
from .extension import Event, Server
from .stepping import Released, call, poll


class Calls:
    """The calls of one application.

    Args:
        server: The server's side.
        connection: It knows whether it has been ended, and releases calls that wait when it is.
    """

    __slots__ = ("_connection", "_is_empty", "_knows_reading", "_receiving", "_server")

    def __init__(self, server: Server, connection: Connection) -> None:
        self._connection = connection
        self._is_empty = False  # after the end: the server has nothing more to receive
        self._knows_reading = "read_ahead" in server.extension
        self._receiving = 0
        self._server = server
        if not self._knows_reading:
            connection.on_read_paused(True, time.monotonic())

    async def receive(self) -> Event:
        """Return the next event; after a failure or a planned end it never blocks."""
        connection, server = self._connection, self._server
        timer = connection.timer
        crowd = timer.crowd
        # It is `turn_if_due`, without a call more for each message.
        if time.monotonic() > (timer if crowd is None else crowd).turn_due:
            await timer.turn()
        if connection.disconnect is not None:
            return self._receive_what_is_left()
        try:
            receiving = server.receive()
            if connection.waiting is not None:
                receiving = call(receiving, connection.waiting)
            if not self._knows_reading:
                receiving = self._receive_reading(receiving)
            event: Event = await receiving
        except Exception:
            if connection.disconnect is None:
                raise
            return self._disconnect()
        if event["type"] == "websocket.disconnect":
            if connection.disconnect is not None:
                return self._disconnect()
            connection.on_closing()
        return event

    async def send(self, event: Event) -> None:
        """Send an event; after a failure or a planned end it raises `Connection.end_error`."""
        connection, server = self._connection, self._server
        timer = connection.timer
        if timer.crowd is None:
            await timer.turn_if_due()
        if connection.disconnect is not None:
            raise connection.end_error()
        kind = event.get("type")
        if kind == "websocket.send":
            sending = server.send_message(event)
        else:
            if kind == "websocket.close":
                connection.on_closing()
            sending = server.send(event)
        try:
            waiting = connection.waiting
            await (sending if waiting is None else call(sending, waiting))
        except asyncio.CancelledError:
            if kind == "websocket.accept":
                connection.on_accepted()  # the server accepts all the same
            raise
        except Released:
            raise connection.end_error() from None
        except Exception as error:
            if connection.disconnect is not None:
                raise connection.end_error() from error
            await timer.turn_if_due()
            raise
        crowd = timer.crowd
        # The loop must not turn before the event is on its way: another one might overtake it.
        if crowd is not None and time.monotonic() > crowd.turn_due:
            await timer.turn()
        if server.is_closing():
            await asyncio.sleep(0)  # the event loop tells of it
        if connection.disconnect is not None:
            raise connection.end_error()
        if kind == "websocket.accept":
            connection.on_accepted()

    async def _receive_reading(self, receiving: Awaitable[Any]) -> Any:
        """Receive from a server that reads, as far as is known, only while this waits."""
        self._receiving += 1
        self._connection.on_read_paused(False, time.monotonic())
        try:
            return await receiving
        finally:
            self._receiving -= 1
            if not self._receiving:
                self._connection.on_read_paused(True, time.monotonic())

    def _receive_what_is_left(self) -> Event:
        """Return what the server has ready; once it has nothing more, the disconnect."""
        if not self._is_empty:
            with contextlib.suppress(Exception):  # NotReady, or the server's own
                event: Event = poll(self._server.receive())
                if event["type"] != "websocket.disconnect":
                    return event
        return self._disconnect()

    def _disconnect(self) -> Event:
        self._is_empty = True
        disconnect = self._connection.disconnect
        assert disconnect is not None  # or the server tells its own
        return {**disconnect}
