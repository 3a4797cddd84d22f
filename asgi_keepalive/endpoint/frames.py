"""The parts of a WebSocket frame (RFC 6455 5.2)."""

from __future__ import annotations

import logging

from websockets.frames import Close, Frame, Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:  # where `websockets` was installed without its part in C
    from websockets.utils import apply_mask

__all__ = ["apply_mask", "log"]

# Of the first byte.
FIN = 0x80
RSV = 0x70
RSV1 = 0x40
OPCODE = 0x0F
CONTROL = 0x08
"""The bit of an opcode that makes a frame a control frame (5.5)."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
OPCODES = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}

WHOLE_TEXT, WHOLE_BINARY = FIN | TEXT, FIN | BINARY
SIMPLE = frozenset({WHOLE_TEXT, WHOLE_BINARY, FIN | PING, FIN | PONG})
"""The first bytes of frames that need nothing but unmasking."""

SIMPLE_OR_DEFLATED = SIMPLE | {WHOLE_TEXT | RSV1, WHOLE_BINARY | RSV1}
"""The same where permessage-deflate was agreed."""

# Of the second byte.
MASKED = 0x80
LENGTH_16 = 126
"""The length follows in 16 bits; in 64 if this is one more."""

SHORT = 125
"""The largest payload of a control frame (5.5), and the largest length in the second byte."""

MASK_SIZE = 4
NO_CODE = 1005
"""Stands for the code of a Close frame that has none (7.4.1)."""

TOO_BIG = 1009
"""The code for a message that is too large."""

SHORT_HEAD = 2 + MASK_SIZE


def log(logger: logging.Logger, first: int, payload: bytes) -> None:
    """Log a frame that has come, as `websockets` does."""
    logger.debug("< %s", Frame(Opcode(first & OPCODE), payload, first >= FIN))


# What a server writes is not masked, so the second byte of a control frame is the length of its
# payload (5.1, 5.2).

LONGEST_REASON = SHORT - 2
"""Bytes that remain for a close reason, beside the code (5.5.1)."""


def ping_frame(payload: bytes) -> bytes:
    """Return a Ping frame (5.5.2)."""
    return bytes((FIN | PING, len(payload))) + payload


def pong_frame(payload: bytes) -> bytes:
    """Return a Pong frame (5.5.3)."""
    return bytes((FIN | PONG, len(payload))) + payload


def close_frame(code: int, reason: str) -> bytes:
    """Return a Close frame (5.5.1); without a payload for 1005, which is none (7.4.1).

    Raises:
        ProtocolError: The code must not be in a Close frame.
    """
    payload = b"" if code == NO_CODE else Close(code, reason).serialize()
    return bytes((FIN | CLOSE, len(payload))) + payload
