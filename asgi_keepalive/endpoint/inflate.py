"""Inflating the messages of the permessage-deflate extension (RFC 7692)."""

from __future__ import annotations

import zlib

EMPTY_BLOCK = b"\x00\x00\xff\xff"
"""The end of a message, which is not sent (7.2.1)."""

PADDED_ENDS = (b"", b"\x00", EMPTY_BLOCK, b"\x00" + EMPTY_BLOCK)
"""So much may follow a block that says it is the last: of an empty one (7.2.3.4)."""


def longest_deflated(size: int) -> int:
    """Return the most bytes that so many may be made into by a compressor and its flushes.

    zlib's own bound for its worst settings is a little more than an eighth above the size.
    """
    return size + size // 7 + 64


class Inflater:
    """Inflates what one peer sends.

    Args:
        window_bits: The peer's `max_window_bits` (7.1.2), 15 if nothing was agreed.
        no_context_takeover: Whether each of the peer's messages stands alone (7.1.1).
        decoder: What has inflated the messages before, if there were any.
    """

    __slots__ = ("_decoder", "_no_context_takeover", "_window_bits")

    def __init__(
        self,
        window_bits: int = 15,
        no_context_takeover: bool = False,
        decoder: zlib._Decompress | None = None,
    ) -> None:
        self._window_bits = window_bits
        self._no_context_takeover = no_context_takeover
        self._decoder = decoder  # made for the first message: it takes 7 KiB, and its window

    def inflate(self, data: bytes, is_end: bool, max_length: int) -> bytes:
        """Return what a frame's payload is inflated; not more than `max_length` bytes of it.

        So if that much is returned there may be more, and the message cannot be continued.

        Args:
            data: The payload.
            is_end: Whether the message ends with this frame.
            max_length: At least 1.

        Raises:
            zlib.error: This is not what deflate makes.
        """
        decoder = self._decoder
        if decoder is None:
            decoder = self._decoder = zlib.decompressobj(wbits=-self._window_bits)
        inflated = decoder.decompress(data + EMPTY_BLOCK if is_end else data, max_length)
        # zlib would ignore what follows the block that says it is the last, this message's and
        # each later one's, and keep it.
        if decoder.eof and decoder.unused_data not in PADDED_ENDS:
            raise zlib.error("data after the last block")
        if is_end and (self._no_context_takeover or decoder.eof):
            self._decoder = None
        return inflated
