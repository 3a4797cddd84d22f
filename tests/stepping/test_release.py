"""A call that is let go ends at once, and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive.stepping import Released, Suspended, call

from ..support.fake_loop import elapsed, fake_loop, in_no_time, ticks
from ..support.stepping import HasAwait, blocked


class TestRelease:
    @pytest.mark.parametrize(
        "server", [None, lambda future: future, HasAwait], ids=["coroutine", "future", "object"]
    )
    @in_no_time
    async def test_ends_the_wait_at_once(
        self, server: Callable[[asyncio.Future[Any]], Awaitable[Any]] | None
    ) -> None:
        call = await blocked(server)
        call.release()
        assert type(await call.outcome()) is Released
        assert call.future.cancelled()

    @in_no_time
    async def test_leaves_the_task_uncancelled(self) -> None:
        async def application() -> Any:
            task = asyncio.current_task()
            assert task is not None
            with pytest.raises(Released):
                await call(future, calls)
            assert task.cancelling() == 0
            await asyncio.sleep(1)  # it can wait for other things
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.sleep(1000)
            return "went on"

        calls: list[Suspended] = []
        future = fake_loop().create_future()
        task = asyncio.ensure_future(application())
        await ticks()
        calls[0].release()
        assert await task == "went on"

    @in_no_time
    async def test_cleans_up_in_the_server(self) -> None:
        async def server(future: asyncio.Future[Any]) -> None:
            async with lock:
                await future

        lock = asyncio.Lock()
        call = await blocked(server)
        assert lock.locked()
        call.release()
        assert type(await call.outcome()) is Released
        assert not lock.locked()

    @in_no_time
    async def test_result_of_the_same_tick_is_not_lost(self) -> None:
        call = await blocked()
        call.future.set_result("result")
        call.release()
        assert await call.outcome() == "result"

    @in_no_time
    async def test_message_of_the_same_tick_is_not_lost(self) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        call = await blocked(lambda future: queue.get())
        queue.put_nowait("message")
        call.release()
        assert await call.outcome() == "message"

    @in_no_time
    async def test_exception_of_the_same_tick_comes_through(self) -> None:
        call = await blocked()
        call.future.set_exception(KeyError("mine"))
        call.release()
        assert repr(await call.outcome()) == "KeyError('mine')"

    @in_no_time
    async def test_call_that_would_wait_again(self) -> None:
        async def server(future: asyncio.Future[Any]) -> None:
            await future
            ended.append("first wait")
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                ended.append("second wait")
                raise

        ended: list[str] = []
        call = await blocked(server)
        call.future.set_result(None)
        call.release()
        assert type(await call.outcome()) is Released
        assert ended == ["first wait", "second wait"]
        assert elapsed() == 0

    @in_no_time
    async def test_call_in_a_bare_yield(self) -> None:
        async def server(future: asyncio.Future[Any]) -> Any:
            await asyncio.sleep(0)
            return await future

        calls: list[Suspended] = []
        future = fake_loop().create_future()
        task = asyncio.ensure_future(call(server(future), calls))
        await asyncio.sleep(0)
        calls[0].release()
        with pytest.raises(Released):
            await task

    @in_no_time
    async def test_call_in_a_bare_yield_that_then_has_a_result(self) -> None:
        async def server() -> str:
            await asyncio.sleep(0)
            return "result"

        calls: list[Suspended] = []
        task = asyncio.ensure_future(call(server(), calls))
        await asyncio.sleep(0)
        calls[0].release()
        assert await task == "result"

    @in_no_time
    async def test_server_that_waits_on_all_the_same(self) -> None:
        async def server(future: asyncio.Future[Any]) -> None:
            with suppress(asyncio.CancelledError):
                await future
            try:
                await asyncio.sleep(1000)
            finally:
                ended.append("dropped")

        ended: list[str] = []
        call = await blocked(server)
        call.release()
        assert type(await call.outcome()) is Released
        assert ended == ["dropped"]
        assert elapsed() == 0

    @in_no_time
    async def test_server_that_cannot_be_stopped(self) -> None:
        async def server(future: asyncio.Future[Any]) -> None:
            with suppress(asyncio.CancelledError):
                await future
            with suppress(GeneratorExit):
                await asyncio.sleep(1000)
            await asyncio.sleep(1000)

        call = await blocked(server)
        call.release()
        assert type(await call.outcome()) is Released
        assert elapsed() == 0

    @in_no_time
    async def test_server_that_returns_on_cancellation(self) -> None:
        async def server(future: asyncio.Future[Any]) -> Any:
            try:
                return await future
            except asyncio.CancelledError:
                return "what there was"

        call = await blocked(server)
        call.release()
        assert await call.outcome() == "what there was"

    @in_no_time
    async def test_server_that_raises_on_cancellation(self) -> None:
        async def server(future: asyncio.Future[Any]) -> Any:
            try:
                return await future
            except asyncio.CancelledError:
                raise ConnectionResetError from None

        call = await blocked(server)
        call.release()
        assert type(await call.outcome()) is ConnectionResetError

    @in_no_time
    async def test_twice_is_as_good_as_once(self) -> None:
        call = await blocked()
        call.release()
        call.release()
        assert type(await call.outcome()) is Released
