"""Judging the frames of a peer: it may send some, and others fail the connection.

The reasons are those of the `websockets` library.
"""

from __future__ import annotations

from websockets.exceptions import ProtocolError

from .events import Failure
from .frames import CONTINUATION, FIN, MASKED, OPCODE, OPCODES, RSV, RSV1, SHORT, TOO_BIG
from .inflate import longest_deflated
from .message import Message


class MessageTooBig(Exception):
    """A message is larger than the reader's `max_size`."""

    def __init__(self, max_size: int, message: Message | None, length: int | None = None) -> None:
        announced = "" if length is None else f"with {length} bytes "
        read = "" if message is None else f"after reading {len(message.data)} bytes "
        super().__init__(f"frame {announced}{read}exceeds limit of {max_size} bytes")


FAULTS = ProtocolError, UnicodeDecodeError, MessageTooBig
"""The exceptions that say what is wrong with a frame."""


def failure(fault: ProtocolError | UnicodeDecodeError | MessageTooBig) -> Failure:
    """Return how a connection fails whose peer sent a frame with this fault."""
    if isinstance(fault, ProtocolError):
        return Failure(1002, str(fault))
    if isinstance(fault, UnicodeDecodeError):
        return Failure(1007, f"{fault.reason} at position {fault.start}")
    return Failure(TOO_BIG, str(fault))


def judge_start(first: int, second: int) -> None:
    """Judge the first two bytes of a frame (5.2); raise one of `FAULTS`."""
    if first & OPCODE not in OPCODES:
        raise ProtocolError("invalid opcode")
    if second < MASKED:
        raise ProtocolError("incorrect masking")


def judge_control(first: int, length: int) -> None:
    """Judge the head of a control frame (5.5); raise one of `FAULTS`."""
    if first & RSV:
        raise ProtocolError("reserved bits must be 0")
    if length > SHORT:
        raise ProtocolError("control frame too long")
    if first < FIN:
        raise ProtocolError("fragmented control frame")


def judge_data(
    first: int, length: int, message: Message | None, max_size: int, may_compress: bool
) -> None:
    """Judge the head of a data frame; raise one of `FAULTS`.

    Args:
        first: The frame's first byte.
        length: Of its payload.
        message: The one that has begun, if any has.
        max_size: The largest message in bytes, inflated.
        may_compress: Whether permessage-deflate was agreed.
    """
    is_first = first & OPCODE != CONTINUATION
    reserved = first & RSV
    if not is_first:
        is_compressed = message is not None and message.is_compressed
    elif is_compressed := reserved == RSV1 and may_compress:
        reserved = 0
    room = max_size if message is None else max_size - len(message.data)
    if length > (longest_deflated(room) if is_compressed else room):
        raise MessageTooBig(max_size, message, length)
    if reserved:
        raise ProtocolError("reserved bits must be 0")
    if message is None and not is_first:
        raise ProtocolError("unexpected continuation frame")
    if message is not None and is_first:
        raise ProtocolError("expected a continuation frame")
