"""Calls that block, and other things that can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from asgi_keepalive.stepping import Suspended, call

from .fake_loop import fake_loop, ticks


class Blocked:
    """A call that waits for a future of the test's, in a task of its own."""

    def __init__(
        self, server: Callable[[asyncio.Future[Any]], Awaitable[Any]] | None = None
    ) -> None:
        self.future: asyncio.Future[Any] = fake_loop().create_future()
        self.calls: list[Suspended] = []
        awaitable = server(self.future) if server else wait_for(self.future)
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


async def wait_for(future: asyncio.Future[Any]) -> Any:
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
