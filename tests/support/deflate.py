"""What a client with permessage-deflate (RFC 7692) sends."""

from __future__ import annotations

import zlib
from itertools import pairwise

from asgi_keepalive.endpoint.inflate import EMPTY_BLOCK

from ..faults.differential.frames import CONTINUATION, raw


class Deflater:
    """Deflates as a client does, each message with the context of those before."""

    def __init__(self, window_bits: int = 15, level: int = 6, memory: int = 8, strategy: int = 0):
        self._compressor = zlib.compressobj(level, zlib.DEFLATED, -window_bits, memory, strategy)

    def part(self, data: bytes) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def message(self, data: bytes) -> bytes:
        deflated = self.part(data)
        assert deflated.endswith(EMPTY_BLOCK)
        return deflated[:-4]


def deflated(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    """Return the first frame of a message, with a payload that is deflated already."""
    return raw(opcode, payload, fin=fin, reserved=4)


def in_fragments(opcode: int, payload: bytes, *cuts: int) -> list[bytes]:
    """Return the frames of a message with such a payload, cut there."""
    parts = [payload[start:end] for start, end in pairwise([0, *cuts, len(payload)])]
    return [
        raw(
            CONTINUATION if number else opcode,
            part,
            fin=number == len(cuts),
            reserved=0 if number else 4,
        )
        for number, part in enumerate(parts)
    ]
