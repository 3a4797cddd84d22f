"""A middleware within another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout

from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, Puppet, fake_loop, in_no_time, ticks
from ..support.middleware import UNSUPPORTED


class TestNested:
    @staticmethod
    async def accepted(
        outer: dict[str, Any], inner: dict[str, Any], **server: Any
    ) -> tuple[FakeServer, Puppet]:
        app = Puppet()
        wrapped = KeepaliveMiddleware(KeepaliveMiddleware(app, **inner), **outer)
        connection = FakeServer(wrapped, **server)
        await ticks()
        return connection, app

    @in_no_time
    async def test_inner_settings_win(self) -> None:
        server, app = await self.accepted(
            TIMES, {"ping_interval": 5, "ping_timeout": 2, "close_timeout": 1}
        )
        await app.receive()
        assert (server.pinged_at, server.failed_at) == ([5], 7)
        assert server.failures[0][2] == server.close_timeout == 1

    @in_no_time
    async def test_inner_defaults_win_too(self) -> None:
        server, app = await self.accepted({"ping_interval": 1, "ping_timeout": 1}, {})
        await app.receive()
        assert (server.pinged_at, server.failed_at) == ([20], 40)
        assert app.keepalive.ping_interval == 20

    @in_no_time
    async def test_nothing_is_doubled(self) -> None:
        server, app = await self.accepted(TIMES, TIMES, pong_after=1)
        await asyncio.sleep(110)
        assert server.pinged_at == [20, 40, 60, 80, 100]
        app.returns()
        await server.task
        assert fake_loop().timers() == []

    @in_no_time
    async def test_inner_one_around_a_connection_that_is_open_already(self) -> None:
        """From then on, with what is in flight as it is."""

        async def router(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(25)
            await KeepaliveMiddleware(app, ping_interval=2, ping_timeout=1)(scope, receive, send)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        server = FakeServer(KeepaliveMiddleware(router, **TIMES))
        fake_loop().call_later(28, lambda: server.pong(server.pings[0]))
        await server.task
        assert server.pinged_at == [20, 28]
        assert server.failed_at == 29

    @in_no_time
    async def test_inner_one_that_is_due_earlier(self) -> None:
        async def router(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(3)
            await KeepaliveMiddleware(app, ping_interval=5, ping_timeout=2)(scope, receive, send)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        server = FakeServer(KeepaliveMiddleware(router, **TIMES))
        await server.task
        assert (server.pinged_at, server.failed_at) == ([5], 7)

    @in_no_time
    async def test_inner_one_that_turns_it_off(self) -> None:
        server, app = await self.accepted(TIMES, {"ping_interval": None}, pong_after=1)
        await asyncio.sleep(1000)
        assert server.pings == []
        assert await app.keepalive.ping() == 1

    @in_no_time
    async def test_timeout_passes_the_inner_one_and_ends_in_the_outer(self) -> None:
        _, app = await self.accepted(TIMES, {"ping_timeout": 1})
        await asyncio.sleep(22)
        with pytest.raises(KeepaliveTimeout):
            await app.text("x")

    @in_no_time
    async def test_on_an_unsupported_server(self, caplog: pytest.LogCaptureFixture) -> None:
        _, app = await self.accepted(TIMES, {"ping_timeout": 1}, extensions={})
        assert not app.keepalive.supported
        assert app.keepalive.ping_timeout == 1
        assert caplog.messages == [UNSUPPORTED.format("tests.support.fake_loop.FakeServer")]
