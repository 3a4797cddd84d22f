"""The reader: messages and control frames, in whatever pieces their bytes come."""

from __future__ import annotations

import importlib.util
import logging
import sys
from types import ModuleType

import pytest
from websockets import utils
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import SERVER, Protocol

from asgi_keepalive.endpoint import frames, reader
from asgi_keepalive.endpoint.events import FRAGMENT, Close, Event, Ping, Pong
from asgi_keepalive.endpoint.inflate import Inflater
from asgi_keepalive.endpoint.reader import Reader

from ..faults.differential.frames import CONTINUATION, close, deflated, fragmented, raw
from ..support.client import BINARY, CLOSE, PING, PONG, TEXT
from ..support.reader import LENGTHS, MEBIBYTE, SEGMENTS, SNOWMAN, payload, pieces, read, taken


@pytest.mark.parametrize("size", SEGMENTS)
@pytest.mark.parametrize("length", LENGTHS)
def test_messages_of_each_length(length: int, size: int) -> None:
    if length > 1000 and size < 100:
        size *= 1000
    stream = raw(BINARY, payload(length)) + raw(TEXT, b"t" * length)
    assert read(Reader(None), *pieces(stream, size)) == [payload(length), "t" * length]


@pytest.mark.parametrize("size", SEGMENTS)
def test_every_kind_of_frame(size: int) -> None:
    stream = b"".join(
        [
            raw(TEXT, SNOWMAN + b" and text"),
            raw(PING),
            raw(PING, bytes(125)),
            raw(BINARY, b"\xff\x00"),
            raw(PONG, b"1234"),
            fragmented(TEXT, [b"frag", b"", SNOWMAN, b"ments"], [raw(PING, b"in"), raw(PONG)]),
            fragmented(BINARY, [b"", b"\xff", b"", b"\xfe", b""], []),
            raw(TEXT),
            raw(CLOSE, b"\x03\xe8bye"),
        ]
    )
    assert read(Reader(100), *pieces(stream, size)) == [
        "\N{SNOWMAN} and text",
        Ping(b""),
        Ping(bytes(125)),
        b"\xff\x00",
        Pong(b"1234"),
        Ping(b"in"),
        Pong(b""),
        "frag\N{SNOWMAN}ments",
        b"\xff\xfe",
        "",
        Close(1000, "bye"),
    ]


def test_a_peer_may_give_up_a_message_and_close() -> None:
    stream = raw(TEXT, b"mess", fin=False) + close(1001, b"bye")
    one = Reader(100)
    assert read(one, stream) == [Close(1001, "bye")]
    assert one.is_done


@pytest.mark.parametrize("value", ["text", b"bytes"])
def test_a_message_is_of_its_own_type(value: str | bytes) -> None:
    """Not of a subclass, and no view of something that changes."""
    opcode, data = (TEXT, value.encode()) if isinstance(value, str) else (BINARY, value)
    for stream in raw(opcode, data), fragmented(opcode, [data[:1], data[1:]], []):
        for size in 1, 100:
            [event] = read(Reader(None), *pieces(stream, size))
            assert type(event) is type(value)


@pytest.mark.parametrize("length", [b"\x7e\x00\x05", b"\x7f" + (5).to_bytes(8, "big")])
def test_a_length_may_be_longer_than_need_be(length: bytes) -> None:
    """RFC 6455 5.2 forbids it; the library does not mind."""
    assert read(Reader(5), raw(BINARY, b"12345", length=length)) == [b"12345"]


class TestStopping:
    """Whoever reads may stop after each event, and go on at any time."""

    FRAMES = (
        raw(TEXT, b"one"),
        raw(PING, b"two"),
        fragmented(BINARY, [b"thr", b"ee"], []),
        raw(TEXT, bytes(200)),
    )
    EVENTS = ("one", Ping(b"two"), FRAGMENT, b"three", "\0" * 200)

    def test_between_any_two_events(self) -> None:
        one = Reader(None)
        one.feed(b"".join(self.FRAMES))
        events = []
        for _ in self.EVENTS:
            events.append(one.next_event())
            assert not one.is_done
        assert tuple(events) == self.EVENTS
        assert one.next_event() is None

    @pytest.mark.parametrize("size", SEGMENTS)
    def test_while_more_comes(self, size: int) -> None:
        one = Reader(None)
        events: list[Event] = []
        for segment in pieces(b"".join(self.FRAMES), size):
            one.feed(segment)
            one.feed(b"")
            if len(events) < 2 and (event := one.next_event()) is not None:
                events.append(event)
        assert (*events, *taken(one)) == self.EVENTS

    def test_each_frame_is_an_event(self) -> None:
        """So that a turn may be over between any two of a message that never ends."""
        one = Reader(None)
        one.feed(raw(TEXT, fin=False) + raw(CONTINUATION, fin=False) * 3)
        assert taken(one) == [FRAGMENT] * 4


class TestBetweenMessages:
    """Whether another could take over."""

    def test_while_nothing_has_begun(self) -> None:
        one = Reader(None)
        assert one.is_between_messages
        read(one, raw(TEXT, b"text") + raw(PING) + fragmented(TEXT, [b"a", b"b"], []))
        assert one.is_between_messages

    @pytest.mark.parametrize("stream", [raw(TEXT, b"text"), raw(BINARY, bytes(70_000))])
    def test_as_soon_as_the_last_event_is_told(self, stream: bytes) -> None:
        one = Reader(None)
        one.feed(stream)
        assert one.next_event() is not None
        assert one.is_between_messages

    @pytest.mark.parametrize("cut", range(1, 11))
    def test_within_a_frame(self, cut: int) -> None:
        one = Reader(None)
        frame = raw(TEXT, b"text!")
        read(one, frame[:cut])
        assert one.is_between_messages is False
        read(one, frame[cut:])
        assert one.is_between_messages

    def test_within_a_message(self) -> None:
        one = Reader(None)
        read(one, raw(TEXT, fin=False) + raw(PING))
        assert one.is_between_messages is False
        read(one, raw(CONTINUATION))
        assert one.is_between_messages

    def test_not_while_something_is_left(self) -> None:
        one = Reader(None)
        one.feed(raw(TEXT, b"first"))
        assert one.is_between_messages is False
        one.feed(raw(TEXT, b"second"))
        assert one.next_event() == "first"
        assert one.is_between_messages is False
        assert taken(one) == ["second"]
        assert one.is_between_messages


class TestLog:
    """At DEBUG the library's lines of what arrives are wanted, and those only."""

    STREAM = b"".join(
        [
            raw(TEXT, b"text"),
            raw(BINARY, b"\xff" * 200),
            raw(PING, b"ping"),
            raw(PONG, b"\x00\x01\x02\x03"),
            fragmented(TEXT, [b"in", b"two"], [raw(PONG)]),
            raw(TEXT, deflated(b"deflated"), reserved=4),
            close(1000, b"bye"),
        ]
    )

    @staticmethod
    def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return [line for line in lines if line.startswith("< ")]

    def test_is_the_librarys(self, caplog: pytest.LogCaptureFixture) -> None:
        logger = logging.getLogger("reader")
        caplog.set_level(logging.DEBUG, "reader")
        library = Protocol(SERVER, logger=logger)
        library.extensions = [PerMessageDeflate(False, True, 15, 15)]
        library.receive_data(self.STREAM)
        wanted = self.lines(caplog)
        events = read(Reader(None, Inflater(), logger), self.STREAM)
        assert self.lines(caplog) == wanted
        assert events == read(Reader(None, Inflater()), self.STREAM)

    def test_is_silent_otherwise(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "reader")
        read(Reader(None, Inflater(), logging.getLogger("reader")), self.STREAM)
        assert not caplog.records


class TestWithoutSpeedups:
    """`websockets` can be installed without its part in C."""

    @pytest.fixture
    def slow(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        """Return the module as it is there."""
        monkeypatch.setitem(sys.modules, "websockets.speedups", None)
        spec = importlib.util.spec_from_file_location("frames_without_speedups", frames.__file__)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @pytest.mark.parametrize("size", [5, MEBIBYTE])
    def test_reads_the_same(
        self, slow: ModuleType, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        assert slow.apply_mask is utils.apply_mask
        monkeypatch.setattr(reader, "apply_mask", slow.apply_mask)
        stream = b"".join(raw(BINARY, payload(length)) for length in LENGTHS)
        assert read(Reader(None), *pieces(stream, size)) == [payload(length) for length in LENGTHS]
