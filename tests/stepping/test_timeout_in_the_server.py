"""A timeout in the server cancels the task as well."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive.stepping import Released

from ..support.fake_loop import RESOLUTION, elapsed, fake_loop, in_no_time
from ..support.stepping import Blocked, blocked


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
