"""`poll` takes what is there, and never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive.stepping import NotReady, poll

from ..support.fake_loop import fake_loop, in_no_time, ticks
from ..support.stepping import HasAwait, failure, result, wait_for


async def _yield_again_and_again() -> None:
    for _ in range(1000):
        await asyncio.sleep(0)


class TestPoll:
    @in_no_time
    async def test_result_or_exception(self) -> None:
        assert poll(result("result")) == "result"
        with pytest.raises(KeyError, match="mine"):
            poll(failure(KeyError("mine")))

    @pytest.mark.parametrize(
        "server",
        [wait_for, lambda future: future, HasAwait, lambda future: _yield_again_and_again()],
        ids=["coroutine", "future", "object", "bare yields"],
    )
    @in_no_time
    async def test_not_ready(self, server: Callable[[asyncio.Future[Any]], Awaitable[Any]]) -> None:
        with pytest.raises(NotReady):
            poll(server(fake_loop().create_future()))

    @in_no_time
    async def test_wrapper_that_lets_others_go_first(self) -> None:
        async def server() -> str:
            await asyncio.sleep(0)
            return "result"

        assert poll(server()) == "result"

    @in_no_time
    async def test_server_that_cannot_be_stopped(self) -> None:
        async def server() -> None:
            with suppress(GeneratorExit):
                await asyncio.sleep(1000)
            await asyncio.sleep(1000)

        with pytest.raises(NotReady):
            poll(server())

    @in_no_time
    async def test_what_was_polled_in_vain_leaves_nothing_behind(self) -> None:
        """`asyncio.wait_for` has a task of its own on Python 3.11."""
        queue: asyncio.Queue[str] = asyncio.Queue()
        with pytest.raises(NotReady):
            poll(asyncio.wait_for(queue.get(), 10))
        await ticks()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert fake_loop().timers() == []

    @in_no_time
    async def test_a_queue_that_was_polled_in_vain_loses_nothing(self) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        with pytest.raises(NotReady):
            poll(queue.get())
        queue.put_nowait("message")
        assert poll(queue.get()) == "message"
