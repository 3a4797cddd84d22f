"""Control frames that go past a server's own library.

It would cost more than anything else in a cycle of Ping and Pong; and it would answer every Ping
of a peer that reads nothing, until the memory is full.
"""

from __future__ import annotations

from typing import Any

PING = 0x89
"""The first byte of a Ping frame (RFC 6455 5.2)."""

PONG = b"\x8a\x84"
"""How a Pong frame begins that is masked and has four bytes of payload."""


def framing(base: Any) -> Any:
    """Return a subclass of a protocol that writes Pings, takes Pongs and may withhold its own.

    The protocol has an `extension`, a `transport`, `ping_interval`, `may_write()` (whether the
    transport's buffer is not full), `is_established()`, and `is_between_frames()`: whether the
    library's parser waits for the first byte of a frame.
    """

    class Framing(base):  # type: ignore[misc]
        # RFC 6455 5.5.3 lets an endpoint answer only the most recent Ping. So while the buffer is
        # full one Pong waits: a peer that sends Pings and reads nothing must not fill the memory.
        _pong = b""

        def write_ping(self, payload: bytes) -> None:
            # A control frame is two bytes and its payload (5.2).
            if len(payload) > 125:
                raise ValueError(f"a Ping carries at most 125 bytes, not {len(payload)}")
            self.transport.write(bytes((PING, len(payload))) + payload)

        def take_pong(self, data: bytes) -> bool:
            """Take a Pong frame in place of the library, whose parser is most of what it costs."""
            if not data.startswith(PONG) or not self.extension.awaits_pong:
                return False
            if self.ping_interval is not None:  # the server's own keepalive awaits Pongs, too
                return False
            try:
                if not self.is_between_frames():
                    return False
            except AttributeError:  # a version of the library that is different inside
                return False
            payload = int.from_bytes(data[2:6]) ^ int.from_bytes(data[6:])
            self.extension.pong(payload.to_bytes(4))
            return True

        def answer_ping(self, pong: bytes) -> None:
            """Write a Pong frame, or withhold it for now."""
            if self.may_pong():
                self.transport.write(pong)
            else:
                self._pong = pong

        def may_pong(self) -> bool:
            """Whether a Pong can be written now rather than wait."""
            return self.may_write() and not self.transport.is_closing()

        def resume_writing(self) -> None:
            super().resume_writing()
            pong, self._pong = self._pong, b""
            if pong and self.is_established():
                self.transport.write(pong)

    return Framing
