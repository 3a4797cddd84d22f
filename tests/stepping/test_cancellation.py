"""A cancellation is never taken for a release, and the other way round."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive.stepping import Released, Suspended, call

from ..support.fake_loop import elapsed, fake_loop, in_no_time, ticks
from ..support.stepping import blocked


class TestCancellation:
    """A real one is never taken for a release, and the other way round."""

    @in_no_time
    async def test_is_not_touched(self) -> None:
        call = await blocked()
        call.task.cancel("message")
        outcome = await call.outcome()
        assert type(outcome) is asyncio.CancelledError
        assert outcome.args == ("message",)
        assert call.future.cancelled()
        assert call.task.cancelled()

    @in_no_time
    async def test_before_release(self) -> None:
        call = await blocked()
        call.task.cancel()
        call.release()
        assert type(await call.outcome()) is asyncio.CancelledError

    @pytest.mark.parametrize("first", ["cancellation", "release"])
    @in_no_time
    async def test_at_the_same_tick_as_release_while_the_server_cleans_up(self, first: str) -> None:
        """As `asyncio.Condition.wait` does, and `asyncio.wait_for` on Python 3.11."""

        async def server(future: asyncio.Future[Any]) -> None:
            try:
                await future
            finally:
                await asyncio.sleep(0)

        call = await blocked(server)
        if first == "cancellation":
            call.task.cancel()
        call.release()
        if first == "release":
            call.task.cancel()
        assert type(await call.outcome()) is asyncio.CancelledError

    @in_no_time
    async def test_after_release_at_the_same_tick(self) -> None:
        call = await blocked()
        call.release()
        call.task.cancel()
        assert type(await call.outcome()) is asyncio.CancelledError

    @in_no_time
    async def test_after_release_a_tick_later(self) -> None:
        async def application() -> None:
            with pytest.raises(Released):
                await call(future, calls)
            await asyncio.sleep(1000)

        calls: list[Suspended] = []
        future = fake_loop().create_future()
        task = asyncio.ensure_future(application())
        await ticks()
        calls[0].release()
        await ticks()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    @in_no_time
    async def test_in_a_task_that_was_cancelled_before(self) -> None:
        """An application that cleans up still gets its calls released."""

        async def application() -> Any:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                with pytest.raises(Released):
                    await call(future, calls)
                return "cleaned up"

        calls: list[Suspended] = []
        future = fake_loop().create_future()
        task = asyncio.ensure_future(application())
        await ticks()
        task.cancel()
        await ticks()
        calls[0].release()
        assert await task == "cleaned up"

    @in_no_time
    async def test_in_a_bare_yield(self) -> None:
        async def server() -> None:
            for _ in range(1000):
                await asyncio.sleep(0)

        calls: list[Suspended] = []
        task = asyncio.ensure_future(call(server(), calls))
        await ticks()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert calls == []

    @in_no_time
    async def test_that_the_server_suppresses(self) -> None:
        async def server(future: asyncio.Future[Any]) -> Any:
            with suppress(asyncio.CancelledError):
                await future
            return await another

        another = fake_loop().create_future()
        call = await blocked(server)
        call.task.cancel()
        await ticks()
        another.set_result("result")
        assert await call.outcome() == "result"

    @pytest.mark.parametrize(
        ("cancelled", "outcome"),
        [("before", Released), ("at the same tick", asyncio.CancelledError)],
    )
    @in_no_time
    async def test_that_the_server_suppresses_does_not_hide_a_release(
        self, cancelled: str, outcome: type[BaseException]
    ) -> None:
        async def server(future: asyncio.Future[Any]) -> Any:
            with suppress(asyncio.CancelledError):
                await future
            await asyncio.sleep(1000)

        call = await blocked(server)
        call.task.cancel()
        if cancelled == "before":
            await ticks()
        call.release()
        assert type(await call.outcome()) is outcome
        assert elapsed() == 0

    @in_no_time
    async def test_that_the_task_asked_for_itself(self) -> None:
        """Counted before the wait, it is met in it."""

        async def application() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            fake_loop().call_soon(lambda: calls[0].release())
            await call(fake_loop().create_future(), calls)

        calls: list[Suspended] = []
        task = asyncio.ensure_future(application())
        with pytest.raises(asyncio.CancelledError):
            await task

    @in_no_time
    async def test_timeout(self) -> None:
        async def application() -> Any:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await call(fake_loop().create_future(), calls)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call(fake_loop().create_future(), calls), 1)
            assert calls == []
            return elapsed()

        calls: list[Suspended] = []
        assert await asyncio.ensure_future(application()) == 2

    @in_no_time
    async def test_timeout_after_release(self) -> None:
        """The timeout is not consumed by the release, nor the release by the timeout."""

        async def application() -> Any:
            try:
                async with asyncio.timeout(1):
                    try:
                        await call(fake_loop().create_future(), calls)
                    except Released:
                        await asyncio.sleep(1000)
            except TimeoutError:
                return elapsed()

        calls: list[Suspended] = []
        task = asyncio.ensure_future(application())
        await ticks()
        calls[0].release()
        assert await task == 1

    @in_no_time
    async def test_timeout_within_the_server(self) -> None:
        async def server(future: asyncio.Future[Any]) -> Any:
            try:
                async with asyncio.timeout(1):
                    await future
            except TimeoutError:
                return "timed out"

        call = await blocked(server)
        assert await call.outcome() == "timed out"
        assert elapsed() == 1

    @in_no_time
    async def test_future_that_the_server_cancels(self) -> None:
        call = await blocked()
        call.future.cancel()
        assert type(await call.outcome()) is asyncio.CancelledError
        assert call.task.cancelled()

    @in_no_time
    async def test_coroutine_that_is_closed(self) -> None:
        async def server(future: asyncio.Future[Any]) -> None:
            try:
                await future
            except BaseException as error:
                ended.append(type(error))
                raise

        ended: list[type[BaseException]] = []
        calls: list[Suspended] = []
        running = server(fake_loop().create_future())  # or else it would end as garbage
        coroutine = call(running, calls)
        coroutine.send(None)
        coroutine.close()
        assert ended == [GeneratorExit]
        assert calls == []
