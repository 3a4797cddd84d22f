"""The receiver: from the server's parser to the endpoint's, and where each frame goes."""

from __future__ import annotations

import logging

import pytest

from asgi_keepalive.endpoint.inflate import Inflater
from asgi_keepalive.endpoint.receiver import Receiver

from ..faults.differential.frames import CONTINUATION, close, deflated, raw
from ..support.client import BINARY, CLOSE, PING, PONG, TEXT
from ..support.fake_loop import in_no_time
from ..support.receiver import Reception


class TestHandover:
    """The server's parser reads until the handshake is over."""

    @in_no_time
    async def test_before_it_the_server_gets_what_comes(self) -> None:
        one = Reception(is_open=False)
        one.receive(b"first", b"second")
        assert one.adapter.forwarded == [b"first", b"second"]
        assert one.told == []

    @in_no_time
    async def test_what_the_server_has_not_parsed_comes_first(self) -> None:
        one = Reception(is_open=False)
        one.adapter.server_holds = raw(TEXT, b"first") + raw(TEXT, b"second")[:3]
        one.receiver.begin()
        one.receive(raw(TEXT, b"second")[3:])
        assert [await one.next(), await one.next()] == ["first", "second"]
        assert one.adapter.forwarded == []

    @in_no_time
    async def test_waits_until_the_server_is_between_messages(self) -> None:
        one = Reception(is_open=False)
        one.receiver.begin()
        one.receive(b"rest of one")
        one.adapter.server_holds = raw(TEXT, b"held")
        one.receive(b"the rest of another")
        assert one.adapter.forwarded == [b"rest of one", b"the rest of another"]
        one.receive(raw(TEXT, b"text"))
        assert len(one.adapter.forwarded) == 2
        assert [await one.next(), await one.next()] == ["held", "text"]

    @in_no_time
    async def test_happens_once(self) -> None:
        one = Reception()
        one.receive(raw(TEXT, b"text", fin=False))
        one.receiver.begin()
        one.receive(raw(CONTINUATION))
        assert await one.next() == "text"

    @in_no_time
    async def test_takes_over_what_inflates_the_bound_and_the_logger(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = Reception(is_open=False)
        one.adapter.server_holds = b""
        one.adapter.deflates = Inflater()
        one.adapter.max_size = 20
        one.adapter.frame_logger = logging.getLogger("receiver")
        with caplog.at_level(logging.DEBUG, "receiver"):
            one.receiver.begin()
            one.receive(raw(TEXT, deflated(b"t" * 20), reserved=4), raw(TEXT, bytes(21)))
        assert await one.next() == "t" * 20
        assert one.told[-2][:2] == ("peer_failed", 1009)
        assert len(caplog.records) == 1


class TestFrames:
    @in_no_time
    async def test_messages_go_to_the_application_as_the_servers_events(self) -> None:
        one = Reception()
        one.receive(raw(TEXT, b"text") + raw(BINARY, b"bytes") + raw(TEXT))
        assert [await one.adapter.queue.get() for _ in range(3)] == [
            {"type": "websocket.receive", "text": "text"},
            {"type": "websocket.receive", "bytes": b"bytes"},
            {"type": "websocket.receive", "text": ""},
        ]

    @in_no_time
    async def test_pongs_go_to_the_endpoint(self) -> None:
        one = Reception()
        one.receive(raw(PONG, b"1") + raw(PONG, b"2"))
        assert one.told == [("pong", b"1"), ("pong", b"2"), "has_read"]

    @in_no_time
    async def test_fragments_go_nowhere_before_the_last(self) -> None:
        one = Reception()
        one.receive(raw(TEXT, b"a", fin=False) + raw(PONG, b"1") + raw(CONTINUATION, fin=False))
        assert one.told == [("pong", b"1"), "has_read"]
        assert one.unread() == 0

    @pytest.mark.parametrize(
        ("frame", "code", "reason"), [(close(4000, b"bye"), 4000, "bye"), (raw(CLOSE), 1005, "")]
    )
    @in_no_time
    async def test_a_close_is_the_last_that_is_read(
        self, frame: bytes, code: int, reason: str
    ) -> None:
        one = Reception()
        one.receive(raw(TEXT, b"text") + frame + raw(PONG))
        one.receive(raw(PING) + raw(TEXT, b"late"))
        assert one.told == [("peer_closed", code, reason), "has_read", "has_read"]
        assert await one.until_end() == ["text", code]
        assert one.transport.written == b""

    @pytest.mark.parametrize("is_open", [True, False])
    @in_no_time
    async def test_a_protocol_error_fails_the_connection(self, is_open: bool) -> None:
        one = Reception()
        one.adapter.has_opened = is_open
        one.receive(raw(3) + raw(PONG))
        one.receive(raw(PONG))
        frame = b"\x88\x10\x03\xeainvalid opcode"
        assert one.transport.written == (frame if is_open else b"")
        assert one.told == [("peer_failed", 1002, "invalid opcode"), "has_read", "has_read"]

    @in_no_time
    async def test_a_peer_that_sends_too_much_may_go_on(self) -> None:
        """Closed at once, TCP would be reset, and the Close frame be lost."""
        one = Reception()
        one.adapter.max_size = 20
        one.receiver = Receiver(one.adapter, one.endpoint)
        one.receiver.begin()
        one.receive(raw(TEXT, bytes(21))[:10])
        assert one.transport.written.startswith(b"\x88")
        assert "linger" in one.transport.names()

    @in_no_time
    async def test_other_errors_do_not_keep_tcp(self) -> None:
        one = Reception()
        one.receive(raw(3))
        assert "linger" not in one.transport.names()

    @in_no_time
    async def test_pongs_before_a_protocol_error_in_the_same_read_count(self) -> None:
        one = Reception()
        one.receive(raw(TEXT, b"text") + raw(PONG, b"1") + raw(PONG, b"2") + raw(3))
        assert one.told[:2] == [("pong", b"1"), ("pong", b"2")]
        assert await one.until_end() == ["text", 1006]

    @in_no_time
    async def test_and_so_do_messages_and_pings(self) -> None:
        one = Reception()
        one.receive(raw(PING, b"p") + raw(TEXT, b"text") + raw(TEXT, b"\xff"))
        assert one.transport.written.startswith(b"\x8a\x01p\x88")
        assert await one.until_end() == ["text", 1006]


class TestEnd:
    @in_no_time
    async def test_an_end_of_file_is_told_to_both(self) -> None:
        for stays_open in True, False:
            one = Reception()
            one.endpoint.stays_open = stays_open
            assert one.receiver.eof_received() is stays_open
            assert one.told == ["eof_received", "endpoint.eof_received"]

    @pytest.mark.parametrize("error", [None, ConnectionResetError()])
    @in_no_time
    async def test_a_loss_is_told_to_both(self, error: Exception | None) -> None:
        one = Reception()
        one.receiver.connection_lost(error)
        assert one.told == ["lost", ("connection_lost", error)]
