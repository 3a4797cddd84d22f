"""A wrapper between middleware and server that takes its time: no matter, for Pings go past it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware

from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, Puppet, elapsed, in_no_time, ticks
from ..support.timeouts import FAILED


class TestSuspendingWrapper:
    """Something between middleware and server suspends."""

    @staticmethod
    async def accepted(**settings: Any) -> tuple[FakeServer, Puppet]:
        async def wrapper(scope: Any, receive: Any, send: Any) -> None:
            async def slow_send(event: Any) -> None:
                await asyncio.sleep(0.5)
                await asyncio.sleep(0)
                await send(event)

            await KeepaliveMiddleware(app, **settings)(scope, receive, slow_send)

        app = Puppet()
        server = FakeServer(wrapper)
        await asyncio.sleep(0.5)
        await ticks()
        return server, app

    @in_no_time
    async def test_pings_go_out_all_the_same(self) -> None:
        server, app = await self.accepted(**TIMES)
        server.pong_after = 1
        await asyncio.sleep(100)
        assert server.pinged_at == [20.5, 40.5, 60.5, 80.5, 100.5]
        assert app.keepalive.latency == 1
        assert not app.keepalive.timed_out

    @in_no_time
    async def test_failure_releases_the_application_at_once(self) -> None:
        server, app = await self.accepted(**TIMES)
        assert await app.receive() == FAILED
        assert elapsed() == 30.5
        assert server.failed_at == 30.5

    @in_no_time
    async def test_refusal_is_taken_quietly(self, caplog: pytest.LogCaptureFixture) -> None:
        server, _ = await self.accepted(**TIMES)
        server.is_open = False
        await asyncio.sleep(25)
        assert server.pings == []
        assert caplog.records == []
