"""A message in fragments (RFC 6455 5.4)."""

from __future__ import annotations

from codecs import utf_8_decode


class Message:
    """A message of which the last frame has not come: its bytes, not its fragments."""

    __slots__ = ("_checked", "data", "is_compressed", "is_text")

    def __init__(self, is_text: bool, is_compressed: bool) -> None:
        self.is_text = is_text
        self.is_compressed = is_compressed
        self.data = bytearray()
        self._checked = 0  # how much of it is known to be text

    def add(self, payload: bytes, is_end: bool) -> None:
        """Add a frame's payload, inflated; `UnicodeDecodeError` if what should be text is none."""
        self.data += payload
        if self.is_text:
            self._checked += utf_8_decode(self.data[self._checked :], "strict", is_end)[1]

    def joined(self) -> str | bytes:
        """Return the message, of which the last frame has been added."""
        return self.data.decode() if self.is_text else bytes(self.data)
