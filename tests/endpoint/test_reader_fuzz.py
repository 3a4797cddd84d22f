"""The reader beside the parser of `websockets`, over what hostile clients send.

They agree on messages, control frames and close codes, but for faults of the library, which
`Library` takes from it. And the reader fails at the head of a frame where the library waits for
its payload.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from asgi_keepalive.endpoint.events import Event, Failure, Fragment
from asgi_keepalive.endpoint.inflate import Inflater
from asgi_keepalive.endpoint.reader import Reader

from ..faults.differential.frames import (
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
from ..support.client import BINARY, PING, PONG, TEXT
from ..support.library import Library

WINDOW_BITS = 12

MAX_SIZE = 300
"""Small, so that a stream meets it."""

LOGGER = logging.Logger("reader", logging.DEBUG)
"""A reader that logs what comes has no quick way."""

PADDING = bytes(2 * MAX_SIZE + 200)
"""More than the payload of any frame within the bound: the library judges when that has come."""


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
    library = Library(MAX_SIZE, deflate=deflate, alone=alone, window_bits=WINDOW_BITS)
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
