"""The queue of what an application has not received, where it must be as good as asyncio's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_keepalive.endpoint.queue import ReadAheadQueue, is_known

from ..support.fake_loop import in_no_time, ticks
from ..support.queue import LAST, PEERS, Reading, message, queue


async def getting(events: ReadAheadQueue, count: int) -> list[asyncio.Task[Any]]:
    """Return so many tasks that wait for an event."""
    tasks = [asyncio.ensure_future(events.get()) for _ in range(count)]
    await ticks()
    assert not any(task.done() for task in tasks)
    return tasks


class TestOrder:
    @in_no_time
    async def test_events_come_as_they_were_put(self) -> None:
        events = queue()
        sent = [{"type": "websocket.connect"}, message("first"), message("second"), LAST]
        for event in sent:
            events.put_nowait(event)
        assert [await events.get() for _ in sent] == sent

    @in_no_time
    async def test_a_server_that_asks_is_told_that_something_is_unread(self) -> None:
        assert queue().empty() is False

    @in_no_time
    async def test_what_ends_the_connection_waits_while_it_is_held(self) -> None:
        events = queue()
        [getter] = await getting(events, 1)
        for _ in range(2):
            events.hold_end()
            events.put_nowait(PEERS)
        await ticks()
        assert not getter.done()
        events.put_nowait(message("first"))
        assert await getter == message("first")
        events.put_message(message("second"), 6)
        events.release_end()
        assert [await events.get() for _ in range(3)] == [message("second"), PEERS, PEERS]

    @in_no_time
    async def test_loss_of_the_connection_waits_while_it_is_held(self) -> None:
        events = queue()
        events.hold_end()
        events.end_behind_held(LAST)
        events.put_message(message("first"), 5)
        events.release_end()
        assert [await events.get() for _ in range(3)] == [message("first"), LAST, LAST]

    @in_no_time
    async def test_loss_of_the_connection_is_told_at_once_if_nothing_is_held(self) -> None:
        events = queue()
        [getter] = await getting(events, 1)
        events.end_behind_held(LAST)
        assert await getter == LAST

    @in_no_time
    async def test_end_is_told_before_a_loss_that_is_held(self) -> None:
        events = queue()
        events.hold_end()
        events.end_behind_held(LAST)
        events.put_nowait(LAST)
        events.end(PEERS)
        events.release_end()
        assert [await events.get() for _ in range(2)] == [PEERS, PEERS]

    @in_no_time
    async def test_release_without_hold_changes_nothing(self) -> None:
        events = queue()
        events.release_end()
        events.put_nowait(PEERS)
        assert await events.get() == PEERS

    @in_no_time
    async def test_after_its_release_nothing_is_held(self) -> None:
        events = queue()
        events.hold_end()
        events.release_end()
        events.put_nowait(PEERS)
        assert await events.get() == PEERS


class TestGetters:
    @pytest.mark.parametrize("kind", ["message", "event"])
    @in_no_time
    async def test_each_of_several_has_an_event_of_its_own(self, kind: str) -> None:
        events = queue()
        tasks = await getting(events, 3)
        for text in "abc":
            event = message(text) if kind == "message" else {"type": text}
            events.put_nowait(event)
        assert ["".join((await task).values())[-1] for task in tasks] == ["a", "b", "c"]

    @in_no_time
    async def test_that_gives_up_takes_nothing(self) -> None:
        events = queue()
        first, second = await getting(events, 2)
        first.cancel()
        await ticks()
        events.put_nowait(message("only"))
        assert (await second)["text"] == "only"

    @in_no_time
    async def test_that_gives_up_when_it_is_woken_wakes_another(self) -> None:
        events = queue()
        first, second = await getting(events, 2)
        events.put_nowait(message("only"))
        first.cancel()
        assert (await asyncio.wait_for(second, 1))["text"] == "only"
        assert first.cancelled()

    @in_no_time
    async def test_that_finds_its_event_gone_waits_on(self) -> None:
        events = queue()
        [waiting] = await getting(events, 1)
        events.put_nowait(message("first"))
        assert (await events.get())["text"] == "first"  # it is quicker
        await ticks()
        assert not waiting.done()
        events.put_nowait(message("second"))
        assert (await waiting)["text"] == "second"


class TestEnd:
    @in_no_time
    async def test_is_told_to_all_and_for_ever(self) -> None:
        events = queue()
        tasks = await getting(events, 2)
        tasks[0].cancel()
        events.end(LAST)
        assert await tasks[1] == LAST
        events.put_nowait({"type": "websocket.disconnect", "code": 1005})
        events.put_nowait(message("late"))
        events.end({"type": "websocket.disconnect", "code": 1006})
        assert [await events.get() for _ in range(2)] == [LAST, LAST]

    @in_no_time
    async def test_wakes_those_that_wait(self) -> None:
        events = queue()
        tasks = await getting(events, 3)
        events.put_nowait(message("only"))  # for the first
        events.end(LAST)
        assert [await task for task in tasks] == [message("only"), LAST, LAST]

    @in_no_time
    async def test_what_came_before_is_not_lost(self) -> None:
        events = queue()
        events.put_nowait(message("first"))
        events.end(LAST)
        assert [await events.get() for _ in range(2)] == [message("first"), LAST]

    @in_no_time
    async def test_is_not_held(self) -> None:
        """It says that nothing more will come: the connection has been failed."""
        events = queue()
        events.hold_end()
        events.put_nowait(PEERS)
        events.end(LAST)
        events.release_end()
        assert await events.get() == LAST


class TestStandsBehind:
    """Whatever wraps a server's `receive` holds `get` of the server's own queue."""

    @in_no_time
    async def test_and_gives_what_it_has(self) -> None:
        own: asyncio.Queue[Any] = asyncio.Queue()
        get = own.get
        own.put_nowait(message("first"))
        events = queue()
        events.take_from(own)
        events.stand_behind(own)
        events.put_nowait(message("second"))
        assert [await get(), await get()] == [message("first"), message("second")]
        assert events.unread == 0

    @in_no_time
    async def test_and_what_comes_while_somebody_waits(self) -> None:
        own: asyncio.Queue[Any] = asyncio.Queue()
        events = queue()
        events.stand_behind(own)
        tasks = [asyncio.ensure_future(get()) for get in (own.get, events.get, own.get)]
        await ticks()
        for text in "abc":
            events.put_nowait(message(text))
        assert [(await task)["text"] for task in tasks] == ["a", "b", "c"]

    @in_no_time
    async def test_and_serves_who_waited_before(self) -> None:
        own: asyncio.Queue[Any] = asyncio.Queue()
        waiting = asyncio.ensure_future(own.get())
        await ticks()
        events = queue()
        events.take_from(own)
        events.put_nowait(message("first"))
        assert await waiting == message("first")

    @in_no_time
    async def test_and_takes_what_was_blocked_before(self) -> None:
        own: asyncio.Queue[Any] = asyncio.Queue(1)
        own.put_nowait(message("first"))
        blocked = asyncio.ensure_future(own.put(message("second")))
        await ticks()
        events = queue()
        events.take_from(own)
        events.stand_behind(own)
        await blocked
        assert [await events.get(), await events.get()] == [message("first"), message("second")]

    @in_no_time
    async def test_and_resumes_reading(self) -> None:
        own: asyncio.Queue[Any] = asyncio.Queue()
        reading = Reading()
        events = queue(reading, max_messages=1)
        events.stand_behind(own)
        events.put_nowait(message("first"))
        assert reading.told == [True]
        await own.get()
        assert reading.told == [True, False]

    @in_no_time
    async def test_and_ends_for_all_and_for_ever(self) -> None:
        own: asyncio.Queue[Any] = asyncio.Queue()
        events = queue()
        events.stand_behind(own)
        tasks = [asyncio.ensure_future(get()) for get in (own.get, events.get)]
        await ticks()
        events.end(LAST)
        assert [await task for task in tasks] == [LAST, LAST]
        assert [await own.get(), await own.get()] == [LAST, LAST]

    @in_no_time
    async def test_and_is_empty_like_any_other(self) -> None:
        own: asyncio.Queue[Any] = asyncio.Queue()
        queue().stand_behind(own)
        with pytest.raises(asyncio.QueueEmpty):
            own.get_nowait()

    @in_no_time
    async def test_but_only_of_asyncios_own(self) -> None:
        assert is_known(asyncio.Queue())
        assert not is_known(asyncio.LifoQueue())
        assert not is_known(None)
