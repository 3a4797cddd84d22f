"""A WebSocket client that may misbehave."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from time import monotonic

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State

from .facts import Ending
from .wire import Wire

LEAVE = 1.0
"""Seconds that a closing handshake of the client's own may take."""


class Answers(Enum):
    """How a client answers control frames."""

    RIGHT = "it answers as RFC 6455 wants it"
    NONE = "it answers nothing"
    WRONG = "it answers a Ping with a Pong of another payload"


@dataclass(frozen=True)
class Received:
    """A frame, and when it has come, by `time.monotonic()`."""

    at: float
    opcode: int
    payload: bytes


class Connection:
    """An open connection.

    Args:
        wire: What it runs on.
        protocol: The sans-I/O half, for which the handshake is over.
        received: What has come behind the handshake.

    Attributes:
        answers: How it answers.
        opened: When it was opened, by `time.monotonic()`.
        ending: How it has ended; `None` while it is open.
        pings: How many Pings have come.
        last_sent: When it has last sent something, by `time.monotonic()`.
        silence: The longest time in which nothing passed either way, in seconds, until a Close
            frame.
        own_silence: The longest time in which it sent nothing.
    """

    def __init__(self, wire: Wire, protocol: ClientProtocol, received: bytes) -> None:
        self.answers = Answers.RIGHT
        self.opened = monotonic()
        self.ending: Ending | None = None
        self.pings = 0
        self.silence = 0.0
        self.own_silence = 0.0
        self.wire = wire
        self._protocol = protocol
        self.last_sent = self.opened
        self._last = self.opened
        self._frames: deque[Received] = deque()
        self._close: Received | None = None
        self._received = received
        self._bytes = 0

    async def ping(self, payload: bytes) -> None:
        """Send a Ping."""
        self._protocol.send_ping(payload)
        await self._send()

    async def send_text(self, text: str) -> None:
        """Send a text message, before anything has been received."""
        self._protocol.send_text(text.encode())
        await self._send()

    async def next(self, until: float) -> Received | None:
        """Return the next frame; `None` at the end, or if none comes until then."""
        while not self._frames:
            if self.ending is not None or not await self._receive(until):
                return None
        return self._frames.popleft()

    async def last(self, until: float) -> None:
        """Read until the end, or until then."""
        while await self.next(until) is not None or self._frames:
            pass

    async def unread(self, until: float) -> int:
        """Read what has been left unread, and return how many bytes it was."""
        before = self._bytes
        while self.ending is None and await self._receive(until):
            self._frames.clear()
        return self._bytes - before

    def settle(self) -> None:
        """Count the silence until now, and an end in which TCP stayed open after a Close frame."""
        now = monotonic()
        if self.ending is None:
            self._count_silence(now)
            if self._close is not None:
                self.ending = self._ended(self._close.at, "open")

    async def leave(self) -> None:
        """Close the connection as RFC 6455 7.1.1 wants it, but do not wait for long."""
        if self.ending is None and self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            await self._send()
            await self.last(monotonic() + LEAVE)

    @property
    def is_closing(self) -> bool:
        """Whether a Close frame has come."""
        return self._close is not None

    async def _receive(self, until: float) -> bool:
        """Return whether something has come until then, were it the end."""
        data, self._received = self._received or await self.wire.receive(until), b""
        if data is None:
            return False
        now = monotonic()
        self._count_silence(now)
        if not data:
            self.ending = self._ended(self._close.at if self._close else now, str(self.wire.how))
            return True
        self._last = now
        self._bytes += len(data)
        self._protocol.receive_data(data)
        if self.answers is not Answers.RIGHT:
            self._protocol.data_to_send()  # is dropped
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)  # the handshake is over
            self._take(Received(now, event.opcode, bytes(event.data)))
        await self._send()
        return True

    def _take(self, received: Received) -> None:
        if received.opcode == Opcode.CLOSE:
            self._close = received
        elif received.opcode == Opcode.PING:
            self.pings += 1
            if self.answers is Answers.WRONG:
                self._protocol.send_pong(other(received.payload))
        self._frames.append(received)

    async def _send(self) -> None:
        if data := b"".join(self._protocol.data_to_send()):
            now = monotonic()
            self._count_silence(now)
            self._last = self.last_sent = now
            await self.wire.send(data)

    def _count_silence(self, now: float) -> None:
        if self._close is not None:  # it is over, even if TCP stays open
            return
        self.silence = max(self.silence, now - self._last)
        self.own_silence = max(self.own_silence, now - self.last_sent)

    def _ended(self, at: float, how: str) -> Ending:
        error = self._protocol.parser_exc
        ending = Ending(at - self.opened, how, error=str(error) if error else None)
        if self._close is not None:
            payload = self._close.payload
            ending.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            ending.close_reason = payload[2:].decode(errors="replace")
        return ending


def other(payload: bytes) -> bytes:
    """Return a payload that is not this one."""
    return bytes(byte ^ 0xFF for byte in payload) or b"other"
