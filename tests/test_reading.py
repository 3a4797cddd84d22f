"""The queue of what an application has not received, where it must be as good as asyncio's own."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from asgi_keepalive.servers.reading import ReadAheadQueue

from .fake_loop import fake_loop, in_no_time, ticks


def queue() -> ReadAheadQueue:
    return ReadAheadQueue(SimpleNamespace(loop=fake_loop()), max_messages=32)


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
