"""The queue of what an application has not received, where it must be as good as asyncio's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_keepalive.servers.reading import MAX_BYTES, ReadAheadQueue

from .support.fake_loop import fake_loop, in_no_time, ticks


class Transport:
    """Notes whether it reads."""

    def __init__(self) -> None:
        self.reads = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


def queue(
    transport: Transport | None = None, told: Callable[[bool], object] = lambda paused: None
) -> ReadAheadQueue:
    transport = transport or Transport()
    protocol = SimpleNamespace(
        loop=fake_loop(),
        transport=transport,
        extension=SimpleNamespace(read_paused=told),
        is_between_turns=False,
        pause_parsing=transport.pause_reading,
        resume_parsing=transport.resume_reading,
    )
    return ReadAheadQueue(protocol, max_messages=32)


def message(text: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": text}


async def getting(events: ReadAheadQueue, count: int) -> list[asyncio.Task[Any]]:
    """Return so many tasks that wait for an event."""
    tasks = [asyncio.ensure_future(events.get()) for _ in range(count)]
    await ticks()
    assert not any(task.done() for task in tasks)
    return tasks


LAST = {"type": "websocket.disconnect", "code": 1011}


@in_no_time
async def test_events_come_in_order() -> None:
    events = queue()
    sent = [{"type": "websocket.connect"}, message("first"), message("second")]
    for event in sent:
        events.put_nowait(event)
    assert [await events.get() for _ in sent] == sent


@in_no_time
async def test_each_of_several_getters_has_an_event_of_its_own() -> None:
    events = queue()
    tasks = await getting(events, 3)
    for text in "abc":
        events.put_nowait(message(text))
    assert [(await task)["text"] for task in tasks] == ["a", "b", "c"]


@in_no_time
async def test_a_getter_that_gives_up_takes_nothing() -> None:
    events = queue()
    first, second = await getting(events, 2)
    first.cancel()
    await ticks()
    events.put_nowait(message("only"))
    assert (await second)["text"] == "only"


@in_no_time
async def test_a_getter_that_gives_up_when_it_is_woken_wakes_another() -> None:
    events = queue()
    first, second = await getting(events, 2)
    events.put_nowait(message("only"))
    first.cancel()
    assert (await asyncio.wait_for(second, 1))["text"] == "only"
    assert first.cancelled()


@in_no_time
async def test_its_end_is_told_to_all_and_for_ever() -> None:
    events = queue()
    tasks = await getting(events, 2)
    tasks[0].cancel()
    events.end(LAST)
    assert await tasks[1] == LAST
    events.put_nowait({"type": "websocket.disconnect", "code": 1005})
    events.end({"type": "websocket.disconnect", "code": 1006})
    assert [await events.get() for _ in range(2)] == [LAST, LAST]


@in_no_time
async def test_what_came_before_the_end_is_not_lost() -> None:
    events = queue()
    events.put_nowait(message("first"))
    events.end(LAST)
    assert [await events.get() for _ in range(2)] == [message("first"), LAST]


def texts(count: int) -> list[dict[str, Any]]:
    return [message(str(number)) for number in range(count)]


class TestApplicationThatHasClosed:
    """Nothing keeps the peer's answer to its Close from being read."""

    @in_no_time
    async def test_reading_goes_on_though_too_much_is_unread(self) -> None:
        transport = Transport()
        told: list[bool] = []
        events = queue(transport, told.append)
        for event in texts(40):
            events.put_nowait(event)
        assert not transport.reads
        events.discard()
        assert transport.reads
        assert told == [True, False]
        transport.reads = False
        events.go_on()
        assert transport.reads

    @pytest.mark.parametrize(
        ("unread", "later"), [(0, 32), (1, 31), (31, 1), (32, 0), (40, 0)], ids=str
    )
    @in_no_time
    async def test_what_has_come_can_be_received_and_what_there_is_room_for(
        self, unread: int, later: int
    ) -> None:
        transport = Transport()
        events = queue(transport)
        sent = texts(100)
        for event in sent[:unread]:
            events.put_nowait(event)
        events.discard()
        for event in sent[unread:]:
            events.put_nowait(event)
            assert transport.reads
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
            events.put_nowait(message("x" * (MAX_BYTES // 2)))
        events.end(LAST)
        received = [await events.get() for _ in range(3)]
        assert [event["type"] for event in received] == [
            "websocket.receive",
            "websocket.receive",
            "websocket.disconnect",
        ]
