"""The reader's time and memory."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from asgi_keepalive.endpoint.events import Event
from asgi_keepalive.endpoint.inflate import EMPTY_BLOCK, Inflater
from asgi_keepalive.endpoint.message import Message
from asgi_keepalive.endpoint.reader import Reader

from ..faults.differential.frames import CONTINUATION, deflated, fragmented, raw
from ..support.client import BINARY, CLOSE, TEXT
from ..support.reader import MEBIBYTE, large, pieces, read, taken


def seconds(action: Callable[[], object]) -> float:
    """Return the seconds of CPU time that it takes."""
    began = time.process_time()
    action()
    return time.process_time() - began


class TestTime:
    """What is linear takes a second here, if that; what is not takes a minute."""

    def test_many_frames_at_once(self) -> None:
        one = Reader(None)
        one.feed(raw(BINARY) * 100_000)
        events: list[Event] = []
        assert seconds(lambda: events.extend(taken(one))) < 10
        assert events == [b""] * 100_000

    def test_a_frame_in_small_pieces(self) -> None:
        one = Reader(None)
        segments = list(pieces(large(BINARY, bytes(2 * MEBIBYTE)), 16))
        events: list[Event] = []
        assert seconds(lambda: events.extend(read(one, *segments))) < 10
        assert events == [bytes(2 * MEBIBYTE)]

    def test_small_pieces_that_are_not_taken(self) -> None:
        one = Reader(None)
        one.feed(raw(TEXT, b"first"))

        def feed() -> None:
            for segment in pieces(large(BINARY, bytes(2 * MEBIBYTE)), 16):
                one.feed(segment)

        assert seconds(feed) < 10
        assert taken(one) == ["first", bytes(2 * MEBIBYTE)]


@contextmanager
def allocations() -> Iterator[Callable[[], tuple[int, int]]]:
    """Measure memory: how many bytes are in use that were not before, and how many were."""
    tracemalloc.start()
    try:
        yield tracemalloc.get_traced_memory
    finally:
        tracemalloc.stop()


class TestMemory:
    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    @pytest.mark.parametrize("is_deflated", [False, True])
    def test_many_small_fragments(self, opcode: int, is_deflated: bool) -> None:
        """They are kept as their bytes, not as an object each."""
        one = Reader(None, Inflater())
        read(one, raw(opcode, fin=False, reserved=4 if is_deflated else 0))
        part = deflated(b"x") + EMPTY_BLOCK if is_deflated else b"x"
        fragments = raw(CONTINUATION, part, fin=False) * 10_000
        with allocations() as used:
            assert read(one, fragments) == []
            assert used()[0] < 50_000 + 40_000, "what they say, and a decompressor"
        [message] = read(one, raw(CONTINUATION))
        assert message == ("x" * 10_000 if opcode == TEXT else b"x" * 10_000)

    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    @pytest.mark.parametrize("size", [65536, 10 * MEBIBYTE])
    def test_a_large_message_is_held_twice_at_most(self, opcode: int, size: int) -> None:
        one = Reader(None)
        segments = list(pieces(large(opcode, bytes(8 * MEBIBYTE)), size))
        with allocations() as used:
            events = read(one, *segments)
            assert used()[1] < 2.3 * 8 * MEBIBYTE
        assert events == [bytes(8 * MEBIBYTE) if opcode == BINARY else "\0" * (8 * MEBIBYTE)]

    @staticmethod
    def kept(one: Reader) -> int:
        """Return the size of what a reader holds of a stream."""
        held = [
            held
            for held in gc.get_referents(one)
            if isinstance(held, bytes | bytearray | tuple | Message)
        ]
        return sum(map(sys.getsizeof, held))

    def test_an_idle_connection_keeps_nothing(self) -> None:
        one = Reader(None)
        new = self.kept(one)
        assert sys.getsizeof(one) + new < 200
        stream = raw(BINARY, bytes(100_000)) + fragmented(TEXT, [b"a", b"b"], [])
        assert len(read(one, stream)) == 2
        assert self.kept(one) == new

    @pytest.mark.parametrize("cut", [1, 5, 6, 7])
    def test_the_beginning_of_a_frame_is_all_that_is_kept(self, cut: int) -> None:
        one = Reader(None)
        begun = raw(BINARY, b"begun")
        read(one, raw(BINARY, bytes(100_000)) + begun[:cut])
        assert self.kept(one) < self.kept(Reader(None)) + 300
        assert read(one, begun[cut:]) == [b"begun"]

    @pytest.mark.parametrize(
        "last", [raw(3), raw(CONTINUATION) + raw(CLOSE), raw(CONTINUATION, bytes(999))[:-1] + b"a"]
    )
    def test_nothing_is_kept_after_the_end(self, last: bytes) -> None:
        one = Reader(None, Inflater())
        one.feed(raw(TEXT, b"text", fin=False))
        one.feed(last + bytes(100_000))
        one.feed(bytes(100_000))
        taken(one)
        one.feed(bytes(100_000))
        assert one.is_done
        assert self.kept(one) < self.kept(Reader(None)) + 100
