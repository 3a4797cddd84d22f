"""An application that is behind: reading pauses, and goes on."""

from __future__ import annotations

import pytest

from asgi_keepalive.endpoint.adapter import disconnect
from asgi_keepalive.endpoint.inflate import Inflater
from asgi_keepalive.endpoint.queue import MAX_BYTES
from asgi_keepalive.endpoint.receiver import LOOK, TURN

from ..faults.differential.frames import close, raw
from ..support.client import BINARY, PONG, TEXT
from ..support.deflate import Deflater, deflated
from ..support.fake_loop import fake_loop, in_no_time, ticks
from ..support.receiver import Reception

CONNECT = {"type": "websocket.connect"}

TEXTS = [str(number) for number in range(10)]
STREAM = b"".join(raw(TEXT, text.encode()) for text in TEXTS)


class TestAfterAccept:
    @in_no_time
    async def test_reading_pauses_at_the_first_message_if_it_is_not_to_read_ahead(self) -> None:
        one = Reception(read_ahead=False)
        one.receive(STREAM + raw(PONG, b"pong"))
        assert one.unread() == 1
        assert not one.is_reading
        assert one.told == [("read_paused", True), "has_read"]
        assert [await one.next() for _ in TEXTS] == TEXTS
        await ticks()
        assert one.is_reading
        assert one.told[-1] == ("pong", b"pong")

    @in_no_time
    async def test_reads_as_much_as_the_server_allows(self) -> None:
        one = Reception()
        one.receive(STREAM)
        assert one.unread() == 4
        assert not one.is_reading
        assert [await one.next() for _ in TEXTS] == TEXTS
        await ticks()
        assert one.is_reading

    @in_no_time
    async def test_the_owner_is_told_of_each_pause(self) -> None:
        one = Reception()
        one.receive(STREAM)
        for _ in TEXTS:
            await one.next()
            await ticks()
        paused = [call for call in one.told if call != "has_read"]
        assert paused == [("read_paused", True), ("read_paused", False)] * (len(paused) // 2)
        assert len(paused) >= 4
        assert one.is_reading

    @in_no_time
    async def test_whoever_receives_does_not_read_by_that(self) -> None:
        """It is the application that calls."""
        one = Reception(read_ahead=False)
        one.receive(STREAM + raw(PONG, b"pong"))
        await one.adapter.queue.get()
        assert one.unread() == 0
        await ticks()
        assert one.unread() == 1

    @in_no_time
    async def test_what_comes_meanwhile_waits(self) -> None:
        one = Reception(read_ahead=False)
        one.receive(STREAM, raw(PONG, b"pong"))
        assert ("pong", b"pong") not in one.told
        assert [await one.next() for _ in TEXTS] == TEXTS
        await ticks()
        assert ("pong", b"pong") in one.told

    @in_no_time
    async def test_large_messages_count_by_their_size(self) -> None:
        one = Reception()
        one.adapter.queue.max_messages = 1000
        one.adapter.queue.put_message(disconnect(1), MAX_BYTES - 6)
        one.receive(raw(TEXT, b"12345"))
        assert one.is_reading
        one.receive(raw(TEXT, b"6"))
        assert not one.is_reading

    @in_no_time
    async def test_a_message_that_fills_it_again_before_the_turn_keeps_it_paused(self) -> None:
        one = Reception(read_ahead=False)
        one.receive(raw(TEXT, b"first") + raw(PONG, b"pong"))
        await one.adapter.queue.get()
        one.adapter.queue.put_nowait({"type": "websocket.receive", "text": "of the server"})
        await ticks()
        assert not one.is_reading
        assert ("pong", b"pong") not in one.told
        assert await one.next() == "of the server"
        await ticks()
        assert one.is_reading
        assert ("pong", b"pong") in one.told

    @in_no_time
    async def test_there_is_one_turn_at_a_time_however_often_there_is_room(self) -> None:
        one = Reception(read_ahead=False)
        one.endpoint.on_pong = lambda: fake_loop().stall(2 * TURN)
        one.receive(raw(TEXT, b"first") + raw(PONG, b"pong") * 20 * LOOK)
        await one.adapter.queue.get()
        one.adapter.queue.put_nowait({"type": "websocket.receive", "text": "of the server"})
        await one.adapter.queue.get()
        for count in range(1, 10):
            await ticks(1)
            assert one.told.count(("pong", b"pong")) == 2 * LOOK * count

    @in_no_time
    async def test_a_close_among_what_waits_is_told_of_in_its_place(self) -> None:
        one = Reception()
        one.receive(STREAM + close(4000) + STREAM)
        assert await one.until_end() == [*TEXTS, 4000]

    @in_no_time
    async def test_an_application_that_closes_does_not_keep_it_waiting(self) -> None:
        one = Reception(read_ahead=False)
        one.receive(STREAM + raw(PONG, b"pong") + close(1000))
        one.receiver.discard()
        await ticks()
        assert one.told[-2:] == [("pong", b"pong"), ("peer_closed", 1000, "")]
        assert await one.until_end() == [TEXTS[0], 1000]


class TestBeforeAccept:
    """The server's parser has put messages into the queue."""

    @staticmethod
    def full() -> Reception:
        one = Reception(is_open=False, read_ahead=False)
        one.adapter.queue.put_nowait(CONNECT)
        one.receive(b"what the server parses")
        one.adapter.queue.put_nowait({"type": "websocket.receive", "text": "early"})
        return one

    @in_no_time
    async def test_reading_pauses_and_goes_on(self) -> None:
        one = self.full()
        assert not one.is_reading
        assert one.told == [("read_paused", True)]
        assert [await one.next(), await one.next()] == ["websocket.connect", "early"]
        await ticks()
        assert one.is_reading
        assert one.told == [("read_paused", True), ("read_paused", False)]

    @pytest.mark.parametrize("held", [b"", raw(TEXT, b"held")], ids=["nothing", "something"])
    @in_no_time
    async def test_what_the_server_holds_at_accept_waits_for_room(self, held: bytes) -> None:
        one = self.full()
        one.adapter.has_opened = True
        one.adapter.server_holds = held
        one.receiver.begin()
        one.receive(raw(TEXT, b"late"))
        assert not one.is_reading
        assert one.unread() == 2
        assert [await one.next(), await one.next()] == ["websocket.connect", "early"]
        if held:
            assert await one.next() == "held"
        assert await one.next() == "late"
        await ticks()
        assert one.is_reading

    @in_no_time
    async def test_a_loss_comes_last(self) -> None:
        one = self.full()
        one.receiver.connection_lost(None)
        assert [await one.next() for _ in range(3)] == ["websocket.connect", "early", 1006]


class TestDeflateBombs:
    """One read may bring a thousand times its size."""

    BOMBS = deflated(BINARY, Deflater(level=9).message(bytes(MAX_BYTES))) * 60

    @staticmethod
    def compressing() -> Reception:
        one = Reception(is_open=False)
        one.adapter.server_holds = b""
        one.adapter.deflates = Inflater(no_context_takeover=True)
        one.adapter.max_size = MAX_BYTES
        one.receiver.begin()
        return one

    @in_no_time
    async def test_only_so_much_of_a_read_is_inflated(self) -> None:
        one = self.compressing()
        one.receive(self.BOMBS + raw(TEXT, b"last"))
        await ticks(100)
        assert one.unread() == 1
        assert not one.is_reading
        assert [len(await one.next()) for _ in range(61)] == [MAX_BYTES] * 60 + [4]
        assert one.is_reading

    @in_no_time
    async def test_nothing_of_it_is_lost_with_the_connection(self) -> None:
        one = self.compressing()
        one.receive(self.BOMBS)
        one.transport.closing = True
        one.receiver.connection_lost(ConnectionResetError())
        assert [len(await one.next()) for _ in range(60)] == [MAX_BYTES] * 60
        assert await one.next() == 1006
