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
        _unparsed: bytes | memoryview = b""
        _slice = FIRST_SLICE

        def data_received(self, data: bytes) -> None:
            if self._unparsed:
                self._unparsed = memoryview(bytes(self._unparsed) + data)
            elif len(data) <= SMALLEST_SLICE:
                if len(data) != PONG_SIZE or not self.take_pong(data):
                    base.data_received(self, data)  # quicker than super
            elif len(data) <= self._slice:
                self._parse(data)
            else:
                self._unparsed = memoryview(data)
                self._take_turn()

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

        def _take_turn(self) -> None:
            over = time.monotonic() + TURN
            now = 0.0
            while self._unparsed and not self.transport.is_closing():
                if now > over:
                    self.transport.hold_reading()
                    self.loop.call_soon(self._take_next_turn)
                    return
                data = bytes(self._unparsed[: self._slice])
                self._unparsed = self._unparsed[self._slice :]
                now = self._parse(data)
            self._unparsed = b""

        def _take_next_turn(self) -> None:
            try:
                self._take_turn()
            except Exception as error:  # a transport that calls data_received does the same
                self._unparsed = b""
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

    return TakingTurns
