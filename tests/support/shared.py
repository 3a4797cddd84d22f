"""Views of all processes, and what tests wait for in them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import pytest

from asgi_keepalive.observers.shared import SharedConnection, SharedConnections, publisher
from asgi_keepalive.observers.shared import client as redis_client

P = ParamSpec("P")
T = TypeVar("T")


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let many pipelines be written a second, and notice at once that Redis is away."""
    monkeypatch.setattr(publisher, "PERIOD", 0.05)
    monkeypatch.setattr(publisher, "TURN", 40)
    monkeypatch.setattr(redis_client, "TIMEOUT", 0.3)


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of a coroutine function."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return wrapper


async def until(get: Callable[[], Awaitable[T]], holds: Callable[[T], object]) -> T:
    """Wait until what one gets is as it should be, and return it."""
    async with asyncio.timeout(10):
        while True:
            got = await get()
            if holds(got):
                return got
            await asyncio.sleep(0.01)


async def rows(shared: SharedConnections) -> list[SharedConnection]:
    """Return all connections, sorted by path."""
    return sorted([one async for one in shared], key=lambda one: one.path)


async def seen(shared: SharedConnections, *paths: str) -> list[SharedConnection]:
    """Wait until these are the sorted paths of all connections, and return those."""
    return await until(
        lambda: rows(shared), lambda found: [one.path for one in found] == list(paths)
    )


async def counted(number: int, *views: SharedConnections) -> None:
    """Wait until the views have so many connections."""

    async def lengths() -> list[int]:
        return [len(shared) for shared in views]

    await until(lengths, lambda found: set(found) == {number})
