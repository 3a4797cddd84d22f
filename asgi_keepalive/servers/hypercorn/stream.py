"""A WebSocket connection of hypercorn's: what is alike over HTTP/1.1 and HTTP/2.

Over both, a `WSStream` stands between the application, whose `send` its `app_send` is, and HTTP.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from math import inf
from typing import Any

from hypercorn.protocol.ws_stream import ASGIWebsocketState
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection

from ...endpoint.adapter import ReadingAdapter
from ...endpoint.inflate import Inflater
from ...endpoint.libraries import inflater_of_wsproto
from ...endpoint.queue import ReadAheadQueue
from ...extension import Disconnected, Event, Send

CONNECTED = ASGIWebsocketState.CONNECTED
"""The state of a stream that its application has accepted."""

ENDED_BY_APPLICATION = {ASGIWebsocketState.CLOSED, ASGIWebsocketState.HTTPCLOSED}
"""The states of a stream that its application has closed, or denied."""


class StreamAdapter(ReadingAdapter):
    """A connection of hypercorn's.

    Args:
        stream: The `WSStream`.
    """

    __slots__ = ("_send_by_wsproto", "_stream")

    def __init__(self, stream: Any) -> None:
        self.max_size = stream.config.websocket_max_message_size
        self.max_unread = stream.config.max_app_queue_size or inf
        self._stream = stream
        self._send_by_wsproto = stream._send_wsproto_event
        # Only there both of the application's ends pass: its close, and its return.
        stream._send_wsproto_event = self._send_wsproto_event

    # The beginning.

    def use_queue(self, queue: ReadAheadQueue) -> None:
        own = self._stream.app_put.__self__
        queue.take_from(own)
        queue.stand_behind(own)
        self.queue = queue
        self._stream.app_put = self._put

    async def _put(self, event: Event) -> None:
        self.queue.put_nowait(event)

    def stop_keepalive(self) -> None:
        # Its pings have no timeout, so those that have begun may go on.
        if self._stream.state is not CONNECTED:
            self._stream.config = copy.copy(self._stream.config)  # it is the whole server's
            self._stream.config.websocket_ping_interval = None

    def inflater(self) -> Inflater | None:
        return inflater_of_wsproto(self._stream.connection)

    # Between the two ends.

    def is_open(self) -> bool:
        return (
            self._stream.state is CONNECTED
            and not self.transport.is_closing()
            and self._stream.connection.state is ConnectionState.OPEN
        )

    def message(self, data: str | bytes) -> Event:
        text, binary = (data, None) if type(data) is str else (None, data)
        return {"type": "websocket.receive", "bytes": binary, "text": text}

    async def pass_on(self, send: Send, event: Event) -> None:
        """Pass an event of the application, but a message, to the server's own `send`."""
        if event["type"] in {"websocket.accept", "websocket.close"}:
            await send(event)
        else:
            await self.send_message(send, event)

    async def send_message(self, send: Send, event: Event) -> None:
        """Pass a message, or a part of a denial, to `send`, which drops in silence what is late."""
        if self._stream.closed or self._is_lost():
            raise Disconnected
        await send(event)
        if self._is_lost():
            raise Disconnected

    def _is_lost(self) -> bool:
        """Whether the connection has ended, or is about to, and not by the application."""
        if self._stream.state in ENDED_BY_APPLICATION:
            return False
        return self.transport.is_closing() or (
            self._stream.state is CONNECTED and not self.is_open()
        )

    # The end.

    async def _send_wsproto_event(self, event: Any) -> None:
        if isinstance(event, CloseConnection):  # as the application has closed, or returned
            self.transport.abort_after(self.transport.close_timeout)  # it may have to wait
            self.queue.discard()
        await self._send_by_wsproto(event)

    def peer_closed(self, code: int, reason: str) -> None:
        if self.is_open():
            self.write_close(code, reason)
        self._end_reading(code, reason)
        self.transport.write_eof()

    def failed(self, code: int, reason: str) -> None:
        self._end_reading(code, reason)

    @abstractmethod
    def _end_reading(self, code: int, reason: str = "") -> None:
        """Tell the application of the end, with this code and reason."""
