"""The reader with permessage-deflate (RFC 7692), and its bounds."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from itertools import product

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from asgi_keepalive.endpoint.events import Event, Failure, Ping, Pong
from asgi_keepalive.endpoint.inflate import Inflater, longest_deflated
from asgi_keepalive.endpoint.reader import Reader

from ..faults.differential.frames import CONTINUATION, raw
from ..support.client import BINARY, PING, PONG, TEXT
from ..support.deflate import Deflater, deflated, in_fragments
from ..support.reader import LENGTHS, pieces, read

FAILED = Failure(1002, "decompression failed")

HELLO = b"\xf3\x48\xcd\xc9\xc9\x07\x00"
"""`Hello` in a block that says it is the last (7.2.3.4), without the byte that ends the message."""


def too_big(event: Event) -> bool:
    return isinstance(event, Failure) and event.code == 1009


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
def test_messages_are_inflated(size: int) -> None:
    deflater = Deflater()
    texts = ["", "text", "text text", "\N{SNOWMAN}" * 1000, "text"]
    stream = b"".join(deflated(TEXT, deflater.message(text.encode())) for text in texts)
    assert read(Reader(None, Inflater()), *pieces(stream, size)) == texts


@pytest.mark.parametrize("length", LENGTHS)
def test_payloads_of_each_length(length: int) -> None:
    deflater = Deflater()
    stream = b"".join(deflated(BINARY, deflater.message(noise(length))) for _ in range(2))
    assert read(Reader(length, Inflater()), stream) == [noise(length)] * 2


@pytest.mark.parametrize("window_bits", range(9, 16))
def test_windows_of_each_size(window_bits: int) -> None:
    deflater = Deflater(window_bits)
    stream = b""
    for _ in range(3):
        stream += deflated(BINARY, deflater.message(noise(1 << window_bits)))
    assert read(Reader(None, Inflater(window_bits)), stream) == [noise(1 << window_bits)] * 3


def test_a_message_may_be_sent_as_it_is() -> None:
    deflater = Deflater()
    stream = b"".join(
        [
            deflated(TEXT, deflater.message(b"deflated")),
            raw(TEXT, b"as it is"),
            raw(TEXT, b"as ", fin=False) + raw(CONTINUATION, b"it is"),
            deflated(TEXT, deflater.message(b"deflated")),
        ]
    )
    assert read(Reader(None, Inflater()), stream) == [
        "deflated",
        "as it is",
        "as it is",
        "deflated",
    ]


def test_context_is_taken_over() -> None:
    deflater = Deflater()
    first, second = deflater.message(noise(500)), deflater.message(noise(500))
    assert len(second) < 50, "it refers to the first one"
    stream = deflated(BINARY, first) + deflated(BINARY, second)
    assert read(Reader(None, Inflater()), stream) == [noise(500)] * 2
    alone = Inflater(no_context_takeover=True)
    assert read(Reader(None, alone), stream) == [noise(500), FAILED]


def test_messages_that_stand_alone() -> None:
    stream = b"".join(
        deflated(TEXT, Deflater().message(b"alone"))
        + b"".join(in_fragments(TEXT, Deflater().message(b"alone too"), 3, 5))
        for _ in range(3)
    )
    inflater = Inflater(no_context_takeover=True)
    assert read(Reader(None, inflater), stream) == ["alone", "alone too"] * 3


def test_a_decoder_is_taken_over() -> None:
    """The library's, which has inflated what came with the handshake."""
    deflater = Deflater()
    extension = PerMessageDeflate(False, True, 15, 15)
    first = Frame(Opcode.BINARY, deflater.message(noise(500)), rsv1=True)
    assert extension.decode(first).data == noise(500)
    stream = deflated(BINARY, deflater.message(noise(500)))
    inflater = Inflater(decoder=extension.decoder)
    assert read(Reader(None, inflater), stream) == [noise(500)]


@pytest.mark.parametrize("size", [1, 3, 10**6])
@pytest.mark.parametrize("cut", [0, 1, 5, 200])
def test_control_frames_between_fragments(cut: int, size: int) -> None:
    deflater = Deflater()
    expected = []
    stream = b""
    for _ in range(3):
        first, last = in_fragments(BINARY, deflater.message(noise(300)), cut)
        stream += first + raw(PING, b"ping") + raw(PONG, b"\xff" * 125) + last
        expected += [Ping(b"ping"), Pong(b"\xff" * 125), noise(300)]
    assert read(Reader(300, Inflater()), *pieces(stream, size)) == expected


def test_a_fragment_for_each_byte() -> None:
    text = "text \N{SNOWMAN} " * 20
    payload = Deflater().message(text.encode())
    fragments = in_fragments(TEXT, payload, *range(1, len(payload)))
    assert read(Reader(None, Inflater()), *fragments) == [text]


def test_text_is_checked_as_it_is_inflated() -> None:
    deflater = Deflater()
    one = Reader(None, Inflater())
    assert read(one, deflated(TEXT, deflater.part(b"good"), fin=False)) == []
    assert read(one, raw(CONTINUATION, deflater.part(b"\xff"), fin=False)) == [
        Failure(1007, "invalid start byte at position 0")
    ]


@pytest.mark.parametrize(
    "stream",
    [
        deflated(TEXT, b"\xff\xff\xff"),
        deflated(TEXT, b"\xff\xff", fin=False) + raw(CONTINUATION, b"\xff"),
        deflated(TEXT, noise(5000)),
    ],
)
def test_what_is_not_deflated_fails(stream: bytes) -> None:
    assert read(Reader(None, Inflater()), stream) == [FAILED]


@pytest.mark.parametrize("reserved", [2, 1, 6, 7])
def test_other_reserved_bits_fail(reserved: int) -> None:
    stream = raw(TEXT, Deflater().message(b"text"), reserved=reserved)
    assert read(Reader(None, Inflater()), stream) == [Failure(1002, "reserved bits must be 0")]


def test_the_bit_is_for_the_first_frame_only() -> None:
    stream = deflated(TEXT, b"", fin=False) + raw(CONTINUATION, reserved=4)
    assert read(Reader(None, Inflater()), stream) == [Failure(1002, "reserved bits must be 0")]
    stream = raw(TEXT, b"", fin=False) + raw(CONTINUATION, reserved=4)
    assert read(Reader(None, Inflater()), stream) == [Failure(1002, "reserved bits must be 0")]
    assert read(Reader(None, Inflater()), raw(PING, reserved=4)) == [
        Failure(1002, "reserved bits must be 0")
    ]


class TestSize:
    """`max_size` bounds what a message is inflated."""

    @pytest.mark.parametrize("data", [bytes, noise])
    @pytest.mark.parametrize("max_size", [1, 100, 125, 126, 5000, 70000])
    def test_a_message_of_the_bound_and_one_over(self, max_size: int, data: type[bytes]) -> None:
        """Noise becomes larger than it was; the library refuses it at less than the bound."""
        for cuts in [], [1], [2, 3]:
            fits = Deflater().message(data(max_size))
            stream = b"".join(in_fragments(BINARY, fits, *cuts))
            assert read(Reader(max_size, Inflater()), stream) == [data(max_size)]
            [event] = read(Reader(max_size - 1, Inflater()), stream)
            assert too_big(event)

    def test_the_rest_of_a_message_of_the_bound_may_be_sent(self) -> None:
        """An empty fragment is not empty when it is deflated."""
        deflater = Deflater()
        frames = (
            deflated(BINARY, deflater.part(noise(100)), fin=False),
            raw(CONTINUATION, deflater.message(b"")),
        )
        assert read(Reader(100, Inflater()), *frames) == [noise(100)]

    def test_fragments_count_together(self) -> None:
        deflater = Deflater()
        one = Reader(200, Inflater())
        assert read(one, deflated(BINARY, deflater.part(noise(150)), fin=False)) == []
        assert read(one, raw(CONTINUATION, deflater.part(noise(51)), fin=False)) == [
            Failure(1009, "frame after reading 150 bytes exceeds limit of 200 bytes")
        ]

    def test_what_is_announced_is_enough(self) -> None:
        """Nothing that would fit is made so large."""
        head = deflated(BINARY, bytes(1300))[:4]
        assert read(Reader(1000, Inflater()), head) == [
            Failure(1009, "frame with 1300 bytes exceeds limit of 1000 bytes")
        ]

    @pytest.mark.parametrize("parts", [1, 2])
    def test_a_bomb_is_not_inflated(self, parts: int) -> None:
        bomb = Deflater(level=9).message(bytes(50 * 2**20))
        stream = b"".join(in_fragments(BINARY, bomb, *[10][: parts - 1]))
        one = Reader(2**20, Inflater())
        tracemalloc.start()
        try:
            [event] = read(one, stream)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert too_big(event)
        assert peak < 4 * 2**20

    def test_none_is_no_bound(self) -> None:
        stream = deflated(BINARY, Deflater(level=1).message(bytes(20 * 2**20)))
        assert read(Reader(None, Inflater()), stream) == [bytes(20 * 2**20)]

    def test_no_compressor_makes_more_of_what_fits(self) -> None:
        settings = product(range(10), range(1, 10), range(5), [9, 15])
        for level, memory, strategy, window_bits in settings:
            for size in 0, 1, 100, 3000:
                payload = Deflater(window_bits, level, memory, strategy).message(noise(size))
                assert len(payload) <= longest_deflated(size)

    def test_not_the_worst_one_either(self) -> None:
        """Bytes that take nine bits each, in blocks too large to be stored as they are."""
        data = bytes(144 + byte % 112 for byte in noise(50_000))
        payload = Deflater(window_bits=9, memory=9, strategy=zlib.Z_FIXED).message(data)
        assert 1.12 * len(data) < len(payload) <= longest_deflated(len(data))


class TestLastBlock:
    """A block may say that it is the last one (7.2.3.4); the library is deaf from then on."""

    @pytest.mark.parametrize("end", [b"\x00", b""])
    @pytest.mark.parametrize("cuts", [[], [1], [7], [8], [6, 7]])
    def test_the_next_message_is_read(self, cuts: list[int], end: bytes) -> None:
        payload = HELLO + end
        frames = in_fragments(TEXT, payload, *cuts)
        assert read(Reader(None, Inflater()), *frames * 3) == ["Hello"] * 3

    @pytest.mark.parametrize("end", [b"\x01", b"\x00\x00", HELLO, bytes(1000)])
    @pytest.mark.parametrize("cuts", [[], [3], [8]])
    def test_nothing_else_may_follow_it(self, cuts: list[int], end: bytes) -> None:
        """zlib would ignore it, and keep it."""
        stream = b"".join(in_fragments(TEXT, HELLO + end, *cuts))
        assert read(Reader(None, Inflater()), stream) == [FAILED]


def test_nothing_is_made_before_it_is_needed() -> None:
    """A decompressor takes 7 KiB, and 32 more for its window."""
    tracemalloc.start()
    try:
        readers = [Reader(None, Inflater()) for _ in range(1000)]
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 300 * len(readers)
