"""The reader beside the parser of `websockets`, over what hostile clients send.

They agree on messages, control frames and close codes, but for faults of the library, which
`Library` takes from it:

- It measures a control frame with what `max_size` leaves for the message it stands in.
- It measures a compressed frame as it is, so that noise of `max_size` bytes, or the deflated
  nothing that ends a message of that size, is too large.
- After a compressed block that says it is the last one (RFC 7692 7.2.3.4) its messages are empty,
  and what comes in their place is kept without a bound.

And the reader fails at the head of a frame where the library waits for its payload.
"""

from __future__ import annotations

import codecs
import logging
import random
import zlib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import SERVER, Protocol

from asgi_keepalive.endpoint.events import Close, Event, Failure, Fragment, Ping, Pong
from asgi_keepalive.endpoint.inflate import PADDED_ENDS, Inflater, longest_deflated
from asgi_keepalive.endpoint.reader import Reader

from .faults.differential.frames import (
    CONTINUATION,
    RIGHT_PONG,
    deflated,
    fragmented,
    frames,
    mutated,
    raw,
    segmented,
    valid,
    valid_stream,
)
from .support.client import BINARY, CLOSE, PING, PONG, TEXT

WINDOW_BITS = 12

MAX_SIZE = 300
"""Small, so that a stream meets it."""

LOGGER = logging.Logger("reader", logging.DEBUG)
"""A reader that logs what comes has no quick way."""

PADDING = bytes(2 * MAX_SIZE + 200)
"""More than the payload of any frame within the bound: the library judges when that has come."""


class Deflate(PerMessageDeflate):
    """The library's extension, which looks at what zlib does once a block was the last one."""

    kept: Any
    left = 0
    """How much larger the message may become."""

    @property
    def decoder(self) -> Any:
        return self.kept

    @decoder.setter
    def decoder(self, decoder: Any) -> None:
        self.kept = decoder

    @decoder.deleter
    def decoder(self) -> None:
        """Keep it."""

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        # One byte more says that there is too much of it, whatever else is wrong further on.
        decoded = super().decode(frame, max_size=self.left + 1)
        if decoded is not frame and self.kept.eof:
            if self.kept.unused_data not in PADDED_ENDS:
                raise ProtocolError("decompression failed")
            if frame.fin:
                self.kept = zlib.decompressobj(wbits=-self.remote_max_window_bits)
        return decoded


class Library:
    """`websockets`' own parser, and the joining and decoding that it leaves to others.

    It is given one byte at a time, and before each frame a bound of that frame's own.
    """

    def __init__(self, *, deflate: bool, alone: bool) -> None:
        self.protocol: Any = Protocol(SERVER, max_size=MAX_SIZE)
        self.extension = Deflate(alone, True, WINDOW_BITS, WINDOW_BITS)
        if deflate:
            self.protocol.extensions = [self.extension]
        self.events: list[Event] = []
        self.code: int | None = None
        """With which the connection fails, if it does."""
        self.is_closed = False
        self._is_at_head = True
        self._first = 0
        self._is_text = False
        self._parts: list[Any] = []
        self._size = 0

    @property
    def is_done(self) -> bool:
        return self.code is not None or self.is_closed

    def feed(self, data: bytes) -> None:
        for byte in data:
            if self.is_done:
                return
            if self._is_at_head:
                self._first = byte
                self._set_bound()
            self.protocol.receive_data(bytes([byte]))
            frames = self.protocol.events_received()
            self._is_at_head = bool(frames)
            for frame in frames:
                self._take(frame)
            error = self.protocol.parser_exc
            if error is not None and self.code is None:
                self.code = self.protocol.close_sent.code
                if self._first & 8 and isinstance(error, PayloadTooBig):
                    self.code = 1002

    def _set_bound(self) -> None:
        opcode = self._first & 15
        compressed = self.protocol.extensions and (
            self._first & 0x40 if opcode else self.extension.decode_cont_data
        )
        left = self.extension.left = MAX_SIZE - self._size
        if self._first & 0x30 or (opcode and self._parts):
            self.extension.left = 2**20  # it cannot stand here, whatever it is inflated
        if opcode & 8:
            left = 125
        elif compressed:
            left = longest_deflated(left)
        # What older releases call it, and newer ones.
        for name in "max_size", "max_message_size":
            setattr(self.protocol, name, self._size + left)

    def _take(self, frame: Frame) -> None:
        payload = bytes(frame.data)
        if frame.opcode == PING:
            self.events.append(Ping(payload))
        elif frame.opcode == PONG:
            self.events.append(Pong(payload))
        elif frame.opcode == CLOSE:
            close = self.protocol.close_rcvd
            self.events.append(Close(close.code, close.reason))
            self.is_closed = True
        else:
            self._take_data(frame, payload)

    def _take_data(self, frame: Frame, payload: bytes) -> None:
        if frame.opcode != CONTINUATION:
            self._is_text = frame.opcode == TEXT
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._size += len(payload)
        if self._size > MAX_SIZE:
            self.code = 1009
            return
        try:
            self._parts.append(
                self._decoder.decode(payload, frame.fin) if self._is_text else payload
            )
        except UnicodeDecodeError:
            self.code = 1007
            return
        if frame.fin:
            self.events.append(("" if self._is_text else b"").join(self._parts))
            self._parts = []
            self._size = 0


def read(reader: Reader, segments: Iterator[bytes], chance: random.Random) -> Iterator[Event]:
    """Yield the events of a stream, of which now and then a few are left for later."""
    for segment in segments:
        reader.feed(segment)
        while chance.random() < 0.9 and (event := reader.next_event()) is not None:
            yield event
    while (event := reader.next_event()) is not None:
        yield event


def compare(stream: bytes, chance: random.Random, *, deflate: bool, alone: bool) -> None:
    """Give the same to both; `alone` is whether each deflated message is without context."""
    logger = chance.choice([None, LOGGER])
    reader = Reader(MAX_SIZE, Inflater(WINDOW_BITS, alone) if deflate else None, logger)
    events = [
        event
        for event in read(reader, segmented(stream, chance), chance)
        if not isinstance(event, Fragment)
    ]
    code = None
    if events and isinstance(failure := events[-1], Failure):
        code = failure.code
        events.pop()
    library = Library(deflate=deflate, alone=alone)
    library.feed(stream)
    if code is not None and library.code is None:
        library.feed(PADDING)  # the payload, of which the reader has not waited for
    assert events == library.events
    assert code == library.code
    assert reader.is_done == library.is_done


deflated_frames = st.one_of(
    st.builds(
        lambda opcode, data, chop: raw(opcode, deflated(data)[: chop or None], reserved=4),
        st.sampled_from([TEXT, BINARY]),
        st.text(max_size=40).map(str.encode)
        | st.sampled_from([MAX_SIZE - 1, MAX_SIZE, MAX_SIZE + 1, 10**5]).map(bytes)
        | st.sampled_from([MAX_SIZE, MAX_SIZE + 1]).map(random.Random(0).randbytes),
        st.sampled_from([0, 0, 0, -1, 1]),
    ),
    st.builds(
        lambda data, at, control: (
            raw(TEXT, deflated(data)[:at], fin=False, reserved=4)
            + control
            + raw(CONTINUATION, deflated(data)[at:])
        ),
        st.text(max_size=40).map(str.encode) | st.just(bytes(MAX_SIZE)),
        st.integers(0, 40),
        st.sampled_from([b"", raw(PING), raw(PONG, b"pong")]),
    ),
    # The end of a message whose last block says so, with what may follow that and what may not.
    st.sampled_from([b"", b"\x00", b"\x01", b"\x00\x00"]).map(
        lambda end: raw(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00" + end, reserved=4)
    ),
)


def a_pong(frame: bytes) -> bytes:
    """Return the frame, or a Pong for what only stands for one."""
    return raw(PONG, b"right") if frame == RIGHT_PONG else frame


some_frames = (
    frames
    | deflated_frames
    | st.builds(
        fragmented,
        st.sampled_from([TEXT, BINARY]),
        st.lists(st.sampled_from([0, 1, 100, 125, 149, 150]).map(bytes), min_size=2, max_size=4),
        st.lists(st.builds(raw, st.just(PING), st.binary(max_size=125)), max_size=3),
    )
).map(a_pong)


@hypothesis_settings(max_examples=500, deadline=None)
@given(
    st.lists(valid.map(a_pong), max_size=5).map(b"".join),
    st.lists(some_frames, max_size=5).map(b"".join),
    st.randoms(),
    st.booleans(),
    st.booleans(),
)
def test_frames_right_and_wrong(
    start: bytes, rest: bytes, chance: random.Random, deflate: bool, alone: bool
) -> None:
    compare(start + rest, chance, deflate=deflate, alone=alone)


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.integers(), st.booleans(), st.booleans())
def test_streams_with_a_few_bytes_changed(seed: int, deflate: bool, alone: bool) -> None:
    chance = random.Random(seed)
    for _ in range(20):
        compare(mutated(valid_stream(chance), chance), chance, deflate=deflate, alone=alone)
