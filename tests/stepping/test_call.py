"""A call that is not let go is as if it had been awaited."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive.stepping import Released, Suspended, call, poll, steps

from ..support.fake_loop import elapsed, fake_loop, in_no_time, ticks
from ..support.stepping import HasAwait, blocked, failure, result


class TestWithoutWaiting:
    @in_no_time
    async def test_result_and_exception_come_through(self) -> None:
        calls: list[Suspended] = []
        assert await call(result("result"), calls) == "result"
        with pytest.raises(KeyError, match="mine"):
            await call(failure(KeyError("mine")), calls)
        assert calls == []

    @in_no_time
    async def test_it_does_not_suspend(self) -> None:
        """A message that is ready must not cost a turn of the loop."""
        later: list[str] = []
        fake_loop().call_soon(later.append, "another's turn")
        await call(result(None), [])
        assert later == []

    @in_no_time
    async def test_awaitable_that_is_done(self) -> None:
        future = fake_loop().create_future()
        future.set_result("result")
        assert await call(future, []) == "result"
        assert await call(HasAwait(future), []) == "result"
        assert poll(future) == "result"


class TestWaiting:
    @pytest.mark.parametrize(
        "server", [None, lambda future: future, HasAwait], ids=["coroutine", "future", "object"]
    )
    @in_no_time
    async def test_result_and_exception_come_through(
        self, server: Callable[[asyncio.Future[Any]], Awaitable[Any]] | None
    ) -> None:
        call = await blocked(server)
        call.future.set_result("result")
        assert await call.outcome() == "result"
        call = await blocked(server)
        call.future.set_exception(KeyError("mine"))
        assert repr(await call.outcome()) == "KeyError('mine')"

    @in_no_time
    async def test_several_waits_one_after_another(self) -> None:
        async def server(future: asyncio.Future[Any]) -> Any:
            await asyncio.sleep(1)
            await asyncio.sleep(0)
            with suppress(KeyError):
                await failing
            await asyncio.sleep(0)
            return await future, elapsed()

        failing = fake_loop().create_future()
        fake_loop().call_later(2, failing.set_exception, KeyError())
        call = await blocked(server)
        fake_loop().call_later(3, call.future.set_result, "result")
        assert await call.outcome() == ("result", 3)

    @in_no_time
    async def test_bare_yield(self) -> None:
        calls: list[Suspended] = []
        await call(asyncio.sleep(0), calls)
        assert calls == []

    @in_no_time
    async def test_outside_any_task(self) -> None:
        """Not everything that can await is a task."""

        def drive() -> None:
            first, second = (call(fake_loop().create_future(), calls) for _ in range(2))
            first.send(None).set_result("result")
            with pytest.raises(StopIteration, match="result"):
                first.send(None)
            second.send(None)
            calls[0].release()
            with pytest.raises(Released):
                second.throw(asyncio.CancelledError())
            done.set()

        calls: list[Suspended] = []
        done = asyncio.Event()
        fake_loop().call_soon(drive)
        await done.wait()

    @in_no_time
    async def test_concurrent_calls_are_known_while_they_wait(self) -> None:
        calls: list[Suspended] = []
        futures = [fake_loop().create_future() for _ in range(3)]
        tasks = [asyncio.ensure_future(call(future, calls)) for future in futures]
        await ticks()
        assert len(calls) == 3
        futures[1].set_result("second")
        assert await tasks[1] == "second"
        assert len(calls) == 2
        for one in calls:
            one.release()
        assert [type(one) for one in await asyncio.gather(*tasks, return_exceptions=True)] == [
            Released,
            str,
            Released,
        ]


@types.coroutine
def generator_based() -> Generator[None, None, str]:
    yield
    return "result"


class HasPlainIterator:
    """`__await__` has to return an iterator, not a generator."""

    def __await__(self) -> Iterator[Any]:
        return iter([None])


@pytest.mark.parametrize("awaitable", [generator_based, HasPlainIterator])
@in_no_time
async def test_whatever_can_be_awaited_can_be_called(awaitable: Any) -> None:
    assert await call(awaitable(), []) == await awaitable()


def test_steps_of_a_coroutine_are_the_coroutine_itself() -> None:
    coroutine = result(None)
    assert steps(coroutine) is coroutine
    assert isinstance(coroutine, types.CoroutineType)
    coroutine.close()
