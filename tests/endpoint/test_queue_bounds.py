"""How much an application may leave unread, and what of it there is room for."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from asgi_keepalive.endpoint.queue import MAX_BYTES, size

from ..support.fake_loop import in_no_time
from ..support.queue import HALF, LAST, PEERS, Reading, message, queue, texts


class TestTooMuchUnread:
    @pytest.mark.parametrize("max_messages", [1, 2, 3, 32])
    @in_no_time
    async def test_messages(self, max_messages: int) -> None:
        reading = Reading()
        events = queue(reading, max_messages)
        sent = texts(2 * max_messages)
        for event in sent[: max_messages - 1]:
            events.put_nowait(event)
        assert reading.told == []
        for event in sent[max_messages - 1 :]:  # the others have come before it paused
            events.put_nowait(event)
            assert events.is_full
        assert reading.told == [True]
        for event in sent[: -(max_messages // 2) - 1]:
            assert await events.get() == event
            assert events.is_full
        assert await events.get() == sent[-(max_messages // 2) - 1]
        assert not events.is_full
        assert reading.told == [True, False]

    @in_no_time
    async def test_pauses_each_time(self) -> None:
        reading = Reading()
        events = queue(reading, 1)
        for _ in range(3):
            events.put_nowait(message("x"))
            await events.get()
        assert reading.told == [True, False] * 3

    @pytest.mark.parametrize("max_messages", [1000, inf])
    @in_no_time
    async def test_bytes(self, max_messages: float) -> None:
        reading = Reading()
        events = queue(reading, max_messages)
        events.put_nowait(message(HALF))
        events.put_nowait(message(HALF[1:]))
        assert reading.told == []
        events.put_nowait(message("."))
        assert reading.told == [True]
        await events.get()
        assert reading.told == [True, False]
        events.put_nowait(message(HALF))
        assert reading.told == [True, False, True]

    @in_no_time
    async def test_more_than_half_the_bytes(self) -> None:
        reading = Reading()
        events = queue(reading)
        for text in HALF, HALF, ".":
            events.put_nowait(message(text))
        await events.get()
        assert events.is_full
        await events.get()
        assert reading.told == [True, False]

    @in_no_time
    async def test_the_connect_event_counts(self) -> None:
        reading = Reading()
        events = queue(reading, 2)
        events.put_nowait({"type": "websocket.connect"})
        assert reading.told == []
        events.put_nowait(message("x"))
        assert reading.told == [True]

    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            ({"text": "abc"}, 3),
            ({"text": "\N{SNOWMAN}"}, 3),
            ({"bytes": b"abcd"}, 4),
            ({"bytes": None, "text": "abc"}, 3),
            ({"bytes": b"", "text": None}, 0),
            ({"text": ""}, 0),
        ],
        ids=repr,
    )
    @in_no_time
    async def test_size_of_a_servers_own_event(self, keys: dict[str, Any], expected: int) -> None:
        reading = Reading()
        events = queue(reading)
        events.put_message(message(""), MAX_BYTES - 1 - expected)
        events.put_nowait({"type": "websocket.receive", **keys})
        assert reading.told == []
        events.put_message(message(""), 1)
        assert reading.told == [True]

    @pytest.mark.parametrize(
        ("data", "expected"), [("", 0), ("abc", 3), ("\N{SNOWMAN}x", 4), (b"", 0), (b"\xff\xff", 2)]
    )
    def test_size(self, data: str | bytes, expected: int) -> None:
        assert size(data) == expected


class TestApplicationThatHasClosed:
    """Nothing keeps the peer's answer to its Close from being read."""

    @in_no_time
    async def test_reading_goes_on_though_too_much_is_unread(self) -> None:
        reading = Reading()
        events = queue(reading)
        for event in texts(40):
            events.put_nowait(event)
        assert reading.told == [True]
        events.discard()
        assert not events.is_full
        assert reading.told == [True, False]
        events.discard()
        assert reading.told == [True, False]

    @pytest.mark.parametrize(
        ("unread", "later"), [(0, 32), (1, 31), (31, 1), (32, 0), (40, 0)], ids=str
    )
    @in_no_time
    async def test_what_has_come_can_be_received_and_what_there_is_room_for(
        self, unread: int, later: int
    ) -> None:
        reading = Reading()
        events = queue(reading)
        sent = texts(100)
        for event in sent[:unread]:
            events.put_nowait(event)
        events.discard()
        told = reading.told.copy()
        for event in sent[unread:]:
            events.put_nowait(event)
        assert reading.told == told
        for event in sent[: unread + later]:
            assert await events.get() == event
        events.put_nowait(message("after a gap"))
        events.put_nowait(LAST)
        assert await events.get() == LAST

    @in_no_time
    async def test_messages_fill_no_memory(self) -> None:
        events = queue()
        events.discard()
        for _ in range(10):
            events.put_nowait(message(HALF))
        events.end(LAST)
        received = [await events.get() for _ in range(3)]
        assert [event["type"] for event in received] == [
            "websocket.receive",
            "websocket.receive",
            "websocket.disconnect",
        ]

    @in_no_time
    async def test_no_message_follows_the_end(self) -> None:
        events = queue()
        for event in [message("before"), LAST, message("behind"), PEERS]:
            events.put_nowait(event)
        assert [await events.get() for _ in range(3)] == [message("before"), LAST, PEERS]
