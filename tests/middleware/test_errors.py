"""Which errors leave the middleware."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from asgi_keepalive import Keepalive, KeepaliveMiddleware, KeepaliveTimeout, get_keepalive
from asgi_keepalive.extension import Application
from asgi_keepalive.settings import Settings

from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, elapsed, in_no_time


class TestErrors:
    @in_no_time
    async def test_own_timeout_is_swallowed(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await asyncio.sleep(100)
            await send({"type": "websocket.send", "text": "x"})

        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        await server.task
        assert elapsed() == 100

    @in_no_time
    async def test_own_timeout_of_a_ping_is_swallowed(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await asyncio.sleep(25)
            await get_keepalive(scope).ping()

        await FakeServer(KeepaliveMiddleware(app, **TIMES)).task
        assert elapsed() == 30

    @in_no_time
    async def test_own_timeout_in_groups_is_swallowed(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            own = KeepaliveTimeout(get_keepalive(scope))
            raise BaseExceptionGroup("outer", [own, ExceptionGroup("inner", [own, own])])

        await FakeServer(KeepaliveMiddleware(app)).task

    @in_no_time
    async def test_timeout_of_another_connection_is_not(self) -> None:
        """An application that forwards from one to another has to deal with it."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise error

        timeout = KeepaliveTimeout(Keepalive(Settings()))
        for error in timeout, ExceptionGroup("group", [timeout]):
            assert await _raised(app) is error

    @pytest.mark.parametrize("other", [ValueError("mine"), asyncio.CancelledError()])
    @in_no_time
    async def test_mixed_group_is_raised_whole(self, other: BaseException) -> None:
        group: BaseExceptionGroup[BaseException]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal group
            own = KeepaliveTimeout(get_keepalive(scope))
            group = BaseExceptionGroup("group", [own, BaseExceptionGroup("inner", [other])])
            raise group

        raised = await _raised(app)
        assert raised is group
        assert len(group.exceptions) == 2

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("mine"),
            ConnectionResetError(),
            WebSocketDisconnect(1006),
            ExceptionGroup("mine", [ValueError()]),
            asyncio.CancelledError("mine"),
            SystemExit(3),
        ],
        ids=repr,
    )
    @in_no_time
    async def test_other_errors_are_untouched(self, error: BaseException) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise error

        assert await _raised(app) is error
        assert error.__cause__ is None

    @in_no_time
    async def test_error_that_the_timeout_caused_is_the_applications(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise RuntimeError from KeepaliveTimeout(get_keepalive(scope))

        assert type(await _raised(app)) is RuntimeError


async def _raised(app: Application) -> BaseException | None:
    """Return what leaves the middleware around an application, not just its task."""
    raised: BaseException | None = None

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        nonlocal raised
        try:
            await KeepaliveMiddleware(app)(scope, receive, send)
        except BaseException as error:
            raised = error

    await FakeServer(outside).task
    return raised
