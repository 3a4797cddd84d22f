"""Calls into a server can be let go; what else happens to them is as if they had been awaited."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive.stepping import NotReady, Released, Suspended, call, poll, steps

from .support.fake_loop import RESOLUTION, elapsed, fake_loop, in_no_time, ticks


class Blocked:
    """A call that waits for a future of the test's, in a task of its own."""

    def __init__(
        self, server: Callable[[asyncio.Future[Any]], Awaitable[Any]] | None = None
    ) -> None:
        self.future: asyncio.Future[Any] = fake_loop().create_future()
        self.calls: list[Suspended] = []
        awaitable = server(self.future) if server else _wait_for(self.future)
        self.task = asyncio.ensure_future(self._run(awaitable))

    async def _run(self, awaitable: Awaitable[Any]) -> Any:
        return await call(awaitable, self.calls)

    async def begin(self) -> Blocked:
        await ticks()
        assert len(self.calls) == 1
        return self

    def release(self) -> None:
        for one in self.calls:
            one.release()

    async def outcome(self) -> Any:
        """Return the result, or the exception."""
        try:
            return await self.task
        except BaseException as error:
            return error
        finally:
            assert self.calls == []


async def _wait_for(future: asyncio.Future[Any]) -> Any:
    return await future


async def blocked(
    server: Callable[[asyncio.Future[Any]], Awaitable[Any]] | None = None,
) -> Blocked:
    return await Blocked(server).begin()


class HasAwait:
    """An awaitable that is no coroutine."""

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future

    def __await__(self) -> Generator[Any, None, Any]:
        return (yield from self.future.__await__())


async def result(value: Any) -> Any:
    return value


async def failure(error: BaseException) -> Any:
    raise error


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


class TestTimeoutInTheServer:
    """It cancels the task as well, and takes that back: the application must not be cancelled."""

    async def blocked(self) -> tuple[Blocked, list[str]]:
        """Return a call that looks again at 1, 2, 3 and so on."""

        async def server(future: asyncio.Future[Any]) -> None:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        try:
                            await asyncio.shield(future)
                        except asyncio.CancelledError:
                            ended.append("cleaned up")
                            raise

        ended: list[str] = []
        return await blocked(server), ended

    @in_no_time
    async def test_before_release(self) -> None:
        call, ended = await self.blocked()
        await asyncio.sleep(3.5)
        call.release()
        assert type(await call.outcome()) is Released
        assert ended == ["cleaned up"] * 4
        assert elapsed() == 3.5
        assert call.task.cancelling() == 0

    @pytest.mark.parametrize("first", ["timeout", "release"])
    @in_no_time
    async def test_at_the_same_tick_as_release(self, first: str) -> None:
        call, ended = await self.blocked()
        early = RESOLUTION / 2 if first == "release" else 0
        fake_loop().call_at(fake_loop().now + 3 - early, call.release)
        assert type(await call.outcome()) is Released
        assert elapsed() == pytest.approx(3)
        assert ended == ["cleaned up"] * 4  # at the last it waited anew
        assert call.task.cancelling() == 0

    @in_no_time
    async def test_at_the_same_tick_as_a_cancellation(self) -> None:
        call, _ = await self.blocked()
        fake_loop().call_at(fake_loop().now + 3, call.release)
        fake_loop().call_at(fake_loop().now + 3, call.task.cancel)
        assert type(await call.outcome()) is asyncio.CancelledError
        assert call.task.cancelling() == 1

    @pytest.mark.parametrize("outcome", [Released, asyncio.CancelledError])
    @in_no_time
    async def test_that_needs_time_to_clean_up(self, outcome: type[BaseException]) -> None:
        async def server(future: asyncio.Future[Any]) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    try:
                        await future
                    finally:
                        await asyncio.sleep(10)
            await asyncio.sleep(1000)

        call = await blocked(server)
        await asyncio.sleep(2)
        call.release()
        if outcome is asyncio.CancelledError:
            call.task.cancel()
        assert type(await call.outcome()) is outcome
        assert call.task.cancelling() == (outcome is asyncio.CancelledError)

    @in_no_time
    async def test_that_is_not_taken_back(self) -> None:
        """As those for older Pythons do."""

        async def server(future: asyncio.Future[Any]) -> None:
            while True:
                task = asyncio.current_task()
                assert task is not None
                fake_loop().call_later(1, task.cancel)
                with suppress(asyncio.CancelledError):
                    await asyncio.shield(future)

        call = await blocked(server)
        await asyncio.sleep(3.5)
        call.release()
        assert type(await call.outcome()) is Released


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
        [_wait_for, lambda future: future, HasAwait, lambda future: _yield_again_and_again()],
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
