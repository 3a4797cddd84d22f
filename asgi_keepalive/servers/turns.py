"""Parsing in turns, so that no client holds up the others.

One read of a transport may bring a quarter of a megabyte. Of frames of six bytes that is 40,000,
and uvicorn parses and handles them all, for up to a second, before any other connection has its
turn. Here what was read is parsed in slices; when a turn is over the rest waits for the next one,
and the transport reads nothing meanwhile.
"""

from __future__ import annotations

import time
from typing import Any

SMALLEST_SLICE = 1024
"""Bytes that are parsed at once where small frames make that slow."""

FIRST_SLICE = 8 * 1024
"""Bytes that are parsed at once before anything is known."""

LARGEST_SLICE = 20 * 1024
"""Bytes that are parsed at once where large frames make that quick."""

QUICK = 0.0005
"""Seconds in which a slice must have been parsed for the next to be larger."""

TURN = 0.002
"""Seconds after which others have their turn."""


PONG_SIZE = 10
"""Bytes of a frame that answers a Ping with four bytes of payload: head, mask and payload (5.2)."""


def taking_turns(base: Any) -> Any:
    """Return a subclass of an extended protocol that parses what it receives in turns."""

    class TakingTurns(base):  # type: ignore[misc]
        # As `take_pong(data)` it has what takes a Pong that has come alone, if it is one.
        _slice = FIRST_SLICE
        _unparsed: bytes | memoryview = b""  # of what was read, between turns
        _paused = False

        def data_received(self, data: bytes) -> None:
            if self._unparsed:
                self._unparsed = memoryview(bytes(self._unparsed) + data)
            elif len(data) <= SMALLEST_SLICE:
                if len(data) != PONG_SIZE or not self.take_pong(data):
                    base.data_received(self, data)  # quicker than super
            elif len(data) <= self._slice:
                self._parse(data)
            else:
                self._take_turn(memoryview(data))

        def _parse(self, data: bytes) -> float:
            """Parse a slice; return when that was done, in monotonic seconds."""
            began = time.monotonic()
            base.data_received(self, data)
            now = time.monotonic()
            if now - began >= QUICK:
                self._slice = SMALLEST_SLICE
            elif self._slice < LARGEST_SLICE:
                self._slice = min(2 * self._slice, LARGEST_SLICE)
            return now

        def _take_turn(self, unparsed: memoryview) -> None:
            over = time.monotonic() + TURN
            now = 0.0
            while unparsed:
                if self._paused or now > over:
                    self._unparsed = unparsed
                    self.transport.hold_reading()
                    if not self._paused:
                        self.loop.call_soon(self._take_next_turn)
                    return
                was_closing = self.transport.is_closing()
                data, unparsed = bytes(unparsed[: self._slice]), unparsed[self._slice :]
                now = self._parse(data)
                if self.transport.is_closing() and not was_closing:
                    return  # nothing follows the peer's Close, or what is not WebSocket

        def _take_next_turn(self) -> None:
            unparsed, self._unparsed = self._unparsed, b""
            try:
                self._take_turn(memoryview(unparsed))
            except Exception as error:  # a transport that calls data_received does the same
                self.loop.call_exception_handler(
                    {
                        "message": "Fatal error: protocol.data_received() call failed.",
                        "exception": error,
                        "transport": self.transport,
                        "protocol": self,
                    }
                )
                self.transport.abort()
            if not self._unparsed:
                self.transport.release_reading()
                self.go_on_reading()

        # For the queue of what has been parsed.

        @property
        def is_between_turns(self) -> bool:
            """Whether a part of what was read has yet to be parsed."""
            return bool(self._unparsed)

        def pause_parsing(self) -> None:
            """Parse and read no more: too much is unread."""
            self._paused = True
            self.transport.pause_reading()

        def resume_parsing(self) -> None:
            """Parse what is left, and read on."""
            self._paused = False
            if self._unparsed:
                self.loop.call_soon(self._take_next_turn)
            else:
                self.transport.resume_reading()

    return TakingTurns
