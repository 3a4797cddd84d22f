"""The reader: what a peer must not send, and where a connection ends."""

from __future__ import annotations

import pytest
from websockets.frames import Close as CloseFrame

from asgi_keepalive.endpoint.events import FRAGMENT, Close, Failure, Ping, Pong
from asgi_keepalive.endpoint.inflate import Inflater
from asgi_keepalive.endpoint.reader import Reader

from ..faults.differential.frames import CONTINUATION, close, deflated, fragmented, raw
from ..support.client import BINARY, CLOSE, PING, PONG, TEXT
from ..support.reader import SNOWMAN, large, pieces, read, taken

HUGE = b"\x7f" + (2**40).to_bytes(8, "big")
MAX_SIZE = 1000

BEGUN = raw(TEXT, b"text", fin=False)
"""A message of which the end is still to come."""

FAULTS = {
    "opcode of data": (raw(3, b"data"), 1002, "invalid opcode"),
    "opcode of control": (raw(11), 1002, "invalid opcode"),
    "not masked": (raw(TEXT, b"text", mask=None), 1002, "incorrect masking"),
    "control, not masked": (raw(PING, b"ping", mask=None), 1002, "incorrect masking"),
    "RSV1": (raw(TEXT, b"text", reserved=4), 1002, "reserved bits must be 0"),
    "RSV2": (raw(BINARY, b"data", reserved=2), 1002, "reserved bits must be 0"),
    "RSV3": (raw(TEXT, b"text", reserved=1), 1002, "reserved bits must be 0"),
    "RSV1 of control": (raw(PING, b"ping", reserved=4), 1002, "reserved bits must be 0"),
    "RSV1 later": (BEGUN + raw(CONTINUATION, reserved=4), 1002, "reserved bits must be 0"),
    "control too long": (raw(PING, bytes(126)), 1002, "control frame too long"),
    "Close too long": (close(1000, bytes(124)), 1002, "control frame too long"),
    "control of 2^40": (raw(PONG, length=HUGE), 1002, "control frame too long"),
    "control in fragments": (raw(PONG, b"pong", fin=False), 1002, "fragmented control frame"),
    "no message begun": (raw(CONTINUATION, b"text"), 1002, "unexpected continuation frame"),
    "another begun": (BEGUN + raw(BINARY, b"data"), 1002, "expected a continuation frame"),
    "Close of one byte": (raw(CLOSE, b"\x03"), 1002, "close frame too short"),
    "Close code 999": (close(999), 1002, "invalid status code"),
    "Close code 1005": (close(1005), 1002, "invalid status code"),
    "Close code 5000": (close(5000), 1002, "invalid status code"),
    "Close reason": (close(1000, b"a\xff"), 1007, "invalid start byte at position 1"),
    "not UTF-8": (raw(TEXT, b"a\xff"), 1007, "invalid start byte at position 1"),
    "half a character": (raw(TEXT, SNOWMAN[:2]), 1007, "unexpected end of data at position 0"),
    "surrogate": (raw(TEXT, b"\xed\xa0\x80"), 1007, "invalid continuation byte at position 0"),
    "too large": (
        raw(TEXT, bytes(1001)),
        1009,
        "frame with 1001 bytes exceeds limit of 1000 bytes",
    ),
    "2^40 bytes": (
        raw(TEXT, length=HUGE),
        1009,
        "frame with 1099511627776 bytes exceeds limit of 1000 bytes",
    ),
    "too large together": (
        BEGUN + raw(CONTINUATION, bytes(997), fin=False),
        1009,
        "frame with 997 bytes after reading 4 bytes exceeds limit of 1000 bytes",
    ),
}
"""A stream, and the code and reason with which the connection fails."""

named = pytest.mark.parametrize(
    ("stream", "code", "reason"), [pytest.param(*fault, id=name) for name, fault in FAULTS.items()]
)


@named
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_a_fault_fails_the_connection(stream: bytes, code: int, reason: str, size: int) -> None:
    """And what is right before it is told all the same."""
    one = Reader(MAX_SIZE)
    before = raw(TEXT, b"before") + raw(PONG, b"pong")
    events = read(one, *pieces(before + stream + raw(TEXT, b"after"), size))
    assert events == ["before", Pong(b"pong"), Failure(code, reason)]
    assert one.is_done


@named
def test_a_reason_fits_into_a_close_frame(stream: bytes, code: int, reason: str) -> None:
    assert len(CloseFrame(code, reason).serialize()) <= 125


def test_the_longest_reason_fits_into_a_close_frame() -> None:
    one = Reader(10**18)
    read(one, raw(BINARY, bytes(100_000), fin=False))
    [failure] = read(one, raw(CONTINUATION, length=b"\x7f" + b"\xff" * 8))
    assert isinstance(failure, Failure)
    assert failure.code == 1009
    assert len(CloseFrame(failure.code, failure.reason).serialize()) <= 125


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (raw(3)[:2], 1002),
        (raw(TEXT, bytes(500), mask=None)[:2], 1002),
        (raw(TEXT, bytes(500), reserved=1)[:4], 1002),
        (raw(PING, bytes(500))[:4], 1002),
        (raw(PING, length=HUGE)[:10], 1002),
        (raw(PING, bytes(125), fin=False)[:2], 1002),
        (raw(CONTINUATION, bytes(500))[:4], 1002),
        (BEGUN + raw(TEXT, bytes(500))[:4], 1002),
        (raw(TEXT, length=HUGE)[:10], 1009),
        (raw(TEXT, bytes(1001))[:4], 1009),
        (BEGUN + raw(CONTINUATION, bytes(997))[:4], 1009),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_head_is_enough(head: bytes, code: int, size: int) -> None:
    """The payload is not waited for, nor the mask; a byte less does not say it yet."""
    one = Reader(MAX_SIZE)
    assert read(one, *pieces(head[:-1], size)) == []
    [failure] = read(one, head[-1:])
    assert isinstance(failure, Failure)
    assert failure.code == code


class TestText:
    """UTF-8 is checked as it comes (8.1)."""

    @pytest.mark.parametrize("size", [1, 100])
    @pytest.mark.parametrize(
        "parts",
        [
            [SNOWMAN[:1], SNOWMAN[1:]],
            [SNOWMAN[:2], SNOWMAN[2:]],
            [SNOWMAN[:1], SNOWMAN[1:2], b"", SNOWMAN[2:]],
            [b"a" + SNOWMAN[:1], SNOWMAN[1:] + b"b"],
        ],
    )
    def test_a_character_in_fragments(self, parts: list[bytes], size: int) -> None:
        stream = fragmented(TEXT, parts, [raw(PING)])
        assert read(Reader(None), *pieces(stream, size)) == [Ping(b""), b"".join(parts).decode()]

    def test_the_first_fragment_with_a_fault_fails(self) -> None:
        one = Reader(None)
        assert (
            read(one, raw(TEXT, b"good", fin=False), raw(CONTINUATION, SNOWMAN[:1], fin=False))
            == []
        )
        # The character's first byte is counted: it is the last of what was not known to be text.
        assert read(one, raw(CONTINUATION, b"a\xff", fin=False)) == [
            Failure(1007, "invalid continuation byte at position 0")
        ]

    def test_the_last_fragment_must_end_a_character(self) -> None:
        one = Reader(None)
        assert read(one, fragmented(TEXT, [b"good", SNOWMAN[:2]], [])) == [
            Failure(1007, "unexpected end of data at position 0")
        ]

    def test_binary_is_not_checked(self) -> None:
        one = Reader(None)
        assert read(one, raw(BINARY, b"\xff") + fragmented(BINARY, [b"\xff", b"\xfe"], [])) == [
            b"\xff",
            b"\xff\xfe",
        ]


class TestSize:
    """`max_size` bounds a message, not a frame, and nothing else."""

    @pytest.mark.parametrize("max_size", [0, 1, 124, 125, 126, 65535, 65536, 100_000])
    @pytest.mark.parametrize("opcode", [TEXT, BINARY])
    def test_a_message_of_the_bound_and_one_over(self, opcode: int, max_size: int) -> None:
        for stream in raw(opcode, bytes(max_size)), fragmented(opcode, [bytes(max_size), b""], []):
            [event] = read(Reader(max_size), stream)
            assert isinstance(event, str | bytes)
            assert len(event) == max_size
        for stream in (
            raw(opcode, bytes(max_size + 1)),
            fragmented(opcode, [bytes(max_size), b"1"], []),
        ):
            [event] = read(Reader(max_size), stream)
            assert isinstance(event, Failure)
            assert event.code == 1009

    def test_characters_count_as_their_bytes(self) -> None:
        assert read(Reader(6), raw(TEXT, SNOWMAN * 2)) == ["\N{SNOWMAN}" * 2]
        [event] = read(Reader(5), raw(TEXT, SNOWMAN * 2))
        assert isinstance(event, Failure)

    def test_each_message_has_all_of_it(self) -> None:
        parts = [bytes(500), bytes(500)]
        stream = fragmented(BINARY, parts, []) * 3 + raw(BINARY, bytes(1000)) * 3
        assert read(Reader(MAX_SIZE), stream) == [bytes(1000)] * 6

    @pytest.mark.parametrize("size", [1, 3, 10_000])
    def test_control_frames_are_not_measured(self, size: int) -> None:
        """The library measures them with what is left for the message."""
        control = raw(PING, bytes(125)) + raw(PONG, bytes(125))
        stream = control + fragmented(BINARY, [b"1234567", b"890"], [control, control])
        assert read(Reader(10), *pieces(stream + close(1000, b"b" * 123), size)) == [
            *[Ping(bytes(125)), Pong(bytes(125))] * 2,
            b"1234567890",
            *[Ping(bytes(125)), Pong(bytes(125))],
            Close(1000, "b" * 123),
        ]

    def test_none_is_no_bound(self) -> None:
        assert read(Reader(None), large(BINARY, bytes(2**25))) == [bytes(2**25)]
        assert read(Reader(None), raw(BINARY, length=HUGE)) == []

    def test_more_than_there_can_be_fails_without_a_bound_too(self) -> None:
        [event] = read(Reader(None), raw(BINARY, length=b"\x7f" + b"\xff" * 8))
        assert isinstance(event, Failure)
        assert event.code == 1009


class TestClose:
    """Close frames (5.5.1), after which everything is ignored."""

    @pytest.mark.parametrize(
        "code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
    )
    def test_codes_that_may_be_sent(self, code: int) -> None:
        [event] = read(Reader(None), close(code, SNOWMAN))
        assert event == Close(code, "\N{SNOWMAN}")
        assert type(event.code) is int

    @pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
    def test_codes_that_may_not(self, code: int) -> None:
        assert read(Reader(None), close(code)) == [Failure(1002, "invalid status code")]

    def test_without_a_code(self) -> None:
        [event] = read(Reader(None), raw(CLOSE))
        assert event == Close(1005, "")
        assert type(event.code) is int

    @pytest.mark.parametrize("last", [close(1000, b"bye"), raw(3)])
    def test_nothing_comes_after_it(self, last: bytes) -> None:
        one = Reader(None)
        one.feed(last + raw(TEXT, b"after") + raw(3))
        assert one.is_done is False
        assert one.next_event() in [Close(1000, "bye"), Failure(1002, "invalid opcode")]
        assert one.is_done is True
        one.feed(raw(TEXT, b"after"))
        assert one.next_event() is None
        assert one.is_between_messages

    def test_what_came_while_nobody_read_is_ignored_too(self) -> None:
        one = Reader(None)
        for frame in raw(TEXT, b"before"), raw(CLOSE), raw(TEXT, b"after"), raw(TEXT, b"after"):
            one.feed(frame)
        assert taken(one) == ["before", Close(1005, "")]


def test_fragments_are_said_to_be_that() -> None:
    one = Reader(None, Inflater())
    one.feed(raw(TEXT, deflated(b"text"), fin=False, reserved=4) + raw(PING) + raw(CONTINUATION))
    assert taken(one) == [FRAGMENT, Ping(b""), "text"]
