"""Reading WebSocket frames, without I/O: bytes go in, messages and control frames come out.

One reader serves every server, once the opening handshake is over. Its rules, with the sections
of RFC 6455:

1. Whoever has bytes gives them to `feed`, and calls `next_event` until it returns `None`. Each
   frame is one event, a `Fragment` if it is nothing else, so one may stop between any two frames
   and go on later.
2. A frame is judged by its head, before its payload has come (5.2): what is too large, or cannot
   stand here, is not waited for.
3. A message in fragments (5.4) is joined, and its text checked frame by frame (8.1). Every
   control frame may stand in it, a `Close` for one that its peer gives up.
4. `max_size` bounds the payload of a message, joined and inflated. A control frame is no part of
   a message; its own bound is 125 bytes (5.5).
5. After a `Close` or a `Failure` everything is ignored. Codes and reasons of a `Failure` are those
   of the `websockets` library. Nothing that a peer sends raises.
"""

from __future__ import annotations

import logging
import sys
import zlib

from websockets.exceptions import ProtocolError
from websockets.frames import Close as CloseFrame

from .events import FRAGMENT, Close, Event, Ping, Pong
from .frames import (
    CONTROL,
    FIN,
    LENGTH_16,
    MASK_SIZE,
    MASKED,
    OPCODE,
    PING,
    PONG,
    RSV1,
    SHORT,
    SHORT_HEAD,
    SIMPLE,
    SIMPLE_OR_DEFLATED,
    TEXT,
    WHOLE_BINARY,
    WHOLE_TEXT,
    apply_mask,
    log,
)
from .inflate import Inflater
from .judging import FAULTS, MessageTooBig, failure, judge_control, judge_data, judge_start
from .message import Message

UNBOUNDED = sys.maxsize - 1
"""No message is larger, nor could be; one more is the largest number that zlib takes."""

LARGE = 16 * 1024
"""From so many bytes on a view takes less time than a copy."""

Head = tuple[int, int, bytes]
"""A frame's first byte, the length of its payload, and its mask."""


class Reader:
    """Reads what one client sends.

    Args:
        max_size: The largest message in bytes, inflated; `None` for no bound.
        inflater: For permessage-deflate, if that was agreed.
        logger: Is told of each frame at DEBUG, as by `websockets`. Whether it listens is asked
            once, here.

    Attributes:
        is_done: Whether a `Close` or a `Failure` has been returned: nothing more will be.
    """

    __slots__ = (
        "_at",
        "_data",
        "_head",
        "_inflater",
        "_later",
        "_logger",
        "_max_size",
        "_message",
        "_partial",
        "_simple",
        "is_done",
    )

    def __init__(
        self,
        max_size: int | None,
        inflater: Inflater | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        self.is_done = False
        self._max_size = UNBOUNDED if max_size is None else max_size
        self._inflater = inflater
        self._simple = SIMPLE if inflater is None else SIMPLE_OR_DEFLATED
        self._logger: logging.Logger | None = None
        if logger is not None and logger.isEnabledFor(logging.DEBUG):
            self._logger = logger
            self._simple = frozenset()
        self._data = b""  # what was fed, unless all of it has been taken
        self._at = 0  # where in it the next frame begins, or goes on
        self._later: bytearray | None = None  # what was fed before all of that was taken
        self._head: Head | None = None  # of a frame that has not come as a whole
        self._partial: bytearray | None = None  # its payload, as far as that has come
        self._message: Message | None = None  # to which the next fragment belongs

    @property
    def is_between_messages(self) -> bool:
        """Whether all that was fed has become messages and control frames."""
        return not (self._data or self._later or self._head or self._message)

    def feed(self, data: bytes) -> None:
        """Take what has come from the peer."""
        if self.is_done:
            return
        if self._later:
            self._later += data
        elif self._data:
            self._later = bytearray(data)
        else:
            self._data = data

    def next_event(self) -> Event | None:
        """Return what the next frame is, or `None` if more bytes are needed to say."""
        data = self._data
        size = len(data)
        at = self._at
        start = at + SHORT_HEAD
        try:
            # Nearly all frames are whole and simple: they have this quick way.
            if start <= size and self._head is None and self._message is None:
                first = data[at]
                length = data[at + 1] - MASKED
                if length == LENGTH_16 and not first & CONTROL:
                    length = data[at + 2] << 8 | data[at + 3]
                    start += 2
                elif length > SHORT:
                    length = size  # which cannot be whole
                end = start + length
                if end <= size and 0 <= length <= self._max_size and first in self._simple:
                    payload = apply_mask(data[start:end], data[start - MASK_SIZE : start])
                    if end < size:  # as `_advance` does
                        self._at = end
                    else:
                        self._data = b""
                        self._at = 0
                    if first == WHOLE_TEXT:
                        return payload.decode()
                    if first == WHOLE_BINARY:
                        return payload
                    if first & CONTROL:
                        return self._take_control(first, payload)
                    return self._take_data(first, payload)
            elif not size and not self._later:
                return None
            while (event := self._parse_frame()) is None and self._take_later():
                pass
            return event
        except FAULTS as fault:
            self._end()
            return failure(fault)

    def _parse_frame(self) -> Event | None:
        head = self._head or self._parse_head()
        if head is None:
            return None
        payload = self._take_payload(head)
        if payload is None:
            return None
        first, _, mask = head
        payload = apply_mask(payload, mask)
        if first & CONTROL:
            return self._take_control(first, payload)
        return self._take_data(first, payload)

    def _parse_head(self) -> Head | None:
        """Take a frame's head if all of it has come; judge as much of it as has."""
        data = self._data
        size = len(data)
        at = self._at
        start = at + 2
        if start > size:
            return None
        first = data[at]
        second = data[at + 1]
        judge_start(first, second)
        length = second - MASKED
        if length > SHORT:
            end = start + (2 if length == LENGTH_16 else 8)
            if end > size:
                return None
            length = int.from_bytes(data[start:end])
            start = end
        if first & CONTROL:
            judge_control(first, length)
        else:
            judge_data(first, length, self._message, self._max_size, self._inflater is not None)
        end = start + MASK_SIZE
        if end > size:
            return None
        self._at = end
        return first, length, data[start:end]

    def _take_payload(self, head: Head) -> bytes | bytearray | memoryview | None:
        """Return a frame's payload, masked yet, or `None` if not all of it has come."""
        data = self._data
        at = self._at
        length = head[1]
        partial = self._partial
        if partial is None:
            end = at + length
            if end <= len(data):
                self._advance(end)
                return data[at:end] if length < LARGE else memoryview(data)[at:end]
            self._head = head
            self._partial = bytearray(data[at:])
        else:
            end = at + length - len(partial)
            partial += data[at:end]
            if end <= len(data):
                self._advance(end)
                self._head = self._partial = None
                return partial
        self._advance(len(data))
        return None

    def _take_control(self, first: int, payload: bytes) -> Event:
        if self._logger is not None:
            log(self._logger, first, payload)
        opcode = first & OPCODE
        if opcode == PONG:
            return Pong(payload)
        if opcode == PING:
            return Ping(payload)
        close = CloseFrame.parse(payload)
        self._end()
        return Close(int(close.code), close.reason)

    def _take_data(self, first: int, payload: bytes) -> Event:
        message = self._message
        is_end = first >= FIN
        is_compressed = first & RSV1 != 0 if message is None else message.is_compressed
        if is_compressed:
            payload = self._inflate(payload, is_end)
        if self._logger is not None:
            log(self._logger, first, payload)
        if message is None:
            is_text = first & OPCODE == TEXT
            if is_end:
                return payload.decode() if is_text else payload
            message = self._message = Message(is_text, is_compressed)
        message.add(payload, is_end)
        if not is_end:
            return FRAGMENT
        self._message = None
        return message.joined()

    def _inflate(self, payload: bytes, is_end: bool) -> bytes:
        assert self._inflater is not None  # or the head would have been refused
        message = self._message
        room = self._max_size if message is None else self._max_size - len(message.data)
        try:
            inflated = self._inflater.inflate(payload, is_end, room + 1)
        except zlib.error as error:
            raise ProtocolError("decompression failed") from error
        if len(inflated) > room:
            raise MessageTooBig(self._max_size, message)
        return inflated

    def _advance(self, end: int) -> None:
        """Go on there with the next frame, or with the rest of this one."""
        if end < len(self._data):
            self._at = end
        else:
            self._data = b""  # an idle connection keeps nothing of what it received
            self._at = 0

    def _take_later(self) -> bool:
        """Join what is left with what was fed since; return whether there was any."""
        if self._at:
            self._data = self._data[self._at :]
            self._at = 0
        if not self._later:
            return False
        self._data += self._later
        self._later = None
        return True

    def _end(self) -> None:
        self.is_done = True
        self._data = b""
        self._later = self._head = self._partial = self._message = self._inflater = None
