"""Applications that are cancelled, or give up on a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, get_keepalive

from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, Puppet, accepted, elapsed, fake_loop, in_no_time, ticks
from ..support.timeouts import FAILED


class TestCancelledApplication:
    """A cancellation inside any await is the application's, and nothing is left of it."""

    @pytest.mark.parametrize("call", ["receive", "send", "close", "ping"])
    @in_no_time
    async def test_task_is_cancelled(self, call: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            server.writable.clear()
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "receive": receive,
                "send": lambda: send({"type": "websocket.send", "text": "x"}),
                "close": lambda: send({"type": "websocket.close"}),
                "ping": get_keepalive(scope).ping,
            }
            try:
                await calls[call]()
            except asyncio.CancelledError as error:
                messages.append(error.args)
                raise

        messages: list[Any] = []
        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        await asyncio.sleep(5)
        server.task.cancel("mine")
        with pytest.raises(asyncio.CancelledError):
            await server.task
        assert messages == [("mine",)]
        assert fake_loop().timers() == []
        assert server.failures == []

    @in_no_time
    async def test_task_is_cancelled_while_it_accepts(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})

        server = FakeServer(KeepaliveMiddleware(app))
        server.writable.clear()
        await asyncio.sleep(5)
        server.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server.task
        assert fake_loop().timers() == []

    @in_no_time
    async def test_accept_that_is_given_up_on_is_an_accept(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await send({"type": "websocket.accept"})
            await asyncio.sleep(100)

        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        server.writable.clear()
        await asyncio.sleep(5 + 20 + 1)
        assert server.pinged_at == [25]
        server.task.cancel()

    @in_no_time
    async def test_application_that_gives_up_on_a_call_uses_the_next(self) -> None:
        server, app = await accepted(**TIMES, pong_after=1)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(app.receive(), 15)
        event = server.text("not lost")
        assert await app.receive() is event
        server.writable.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(15):
                await app.text("given up")
        server.writable.set()
        await app.text("x")
        assert [event.get("text") for event in server.sent[1:]] == ["x"]

    @in_no_time
    async def test_cancelled_at_the_moment_of_failure(self) -> None:
        """Cancellation wins: whoever asked for it relies on it."""
        server, app = await accepted(**TIMES)
        receiving = asyncio.ensure_future(app.receive())
        sending = asyncio.ensure_future(_blocked_send(server, app))
        await ticks()
        server.on_fail = lambda: (receiving.cancel(), sending.cancel())
        await asyncio.wait([receiving, sending])
        assert receiving.cancelled()
        assert sending.cancelled()
        assert await app.receive() == FAILED

    @in_no_time
    async def test_timeout_around_a_released_call_goes_on(self) -> None:
        _, app = await accepted(**TIMES)

        async def application() -> str:
            try:
                async with asyncio.timeout(35):
                    assert await app.receive() == FAILED
                    await asyncio.sleep(1000)
            except TimeoutError:
                assert elapsed() == 35
                return "timed out"
            return "not timed out"

        assert await asyncio.ensure_future(application()) == "timed out"


async def _blocked_send(server: FakeServer, app: Puppet) -> None:
    server.writable.clear()
    await app.text("x")
