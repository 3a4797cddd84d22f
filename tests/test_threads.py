"""Calls of `Keepalive` from another thread, to which synchronous endpoints and consumers invite."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from asgi_keepalive import Keepalive, KeepaliveMiddleware

from .support.fake_loop import FakeServer, Puppet, ticks

TIMES: dict[str, Any] = {"ping_interval": 20, "ping_timeout": 10}


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("extensions", [{"websocket.ping": {}}, {}])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("configure", "loop.call_soon_threadsafe"),
        ("ping", "asyncio.run_coroutine_threadsafe"),
    ],
)
def test_a_call_there_changes_nothing(
    name: str, how: str, extensions: dict[str, Any], debug: bool
) -> None:
    def call(keepalive: Keepalive) -> None:
        if name == "configure":
            keepalive.configure(ping_interval=5)
        else:
            asyncio.run(keepalive.ping())

    def in_a_thread(keepalive: Keepalive) -> None:
        with pytest.raises(RuntimeError) as raised:
            call(keepalive)
        assert str(raised.value) == (
            f"{name}() must be called in the thread of the connection's event loop: in an "
            f"async def, or by {how} or asgiref.sync.async_to_sync"
        )

    async def test() -> None:
        puppet = Puppet()
        server = FakeServer(KeepaliveMiddleware(puppet, **TIMES), extensions=extensions)
        await ticks()
        for _ in range(2):
            await asyncio.to_thread(in_a_thread, puppet.keepalive)
            assert puppet.keepalive.ping_interval == 20
            puppet.returns()
            await server.task  # nor is it to be called there after the end
        assert server.pings == []

    asyncio.run(test(), debug=debug)


def test_call_takes_effect_in_the_ways_it_is_told_to() -> None:
    async def configure(interval: float) -> None:
        puppet.keepalive.configure(ping_interval=interval)

    def in_a_thread(loop: asyncio.AbstractEventLoop) -> None:
        async_to_sync(configure)(1)
        assert puppet.keepalive.ping_interval == 1
        loop.call_soon_threadsafe(lambda: puppet.keepalive.configure(ping_interval=0.01))

    def ping_in_a_thread(loop: asyncio.AbstractEventLoop) -> None:
        assert async_to_sync(puppet.keepalive.ping)() >= 0
        assert asyncio.run_coroutine_threadsafe(puppet.keepalive.ping(), loop).result() >= 0

    async def test() -> None:
        server = FakeServer(KeepaliveMiddleware(puppet, **TIMES))
        loop = asyncio.get_running_loop()

        def pong() -> None:
            server.pong(server.pings[-1])
            answered.set()

        answered = asyncio.Event()
        server.on_ping = lambda: loop.call_soon(pong)
        await ticks()
        await sync_to_async(in_a_thread)(loop)
        await answered.wait()
        await sync_to_async(ping_in_a_thread)(loop)
        puppet.returns()
        await server.task

    puppet = Puppet()
    asyncio.run(test())


def test_ping_in_another_loop_of_the_thread_is_refused_rather_than_never_answered() -> None:
    async def begin() -> None:
        servers.append(FakeServer(KeepaliveMiddleware(puppet, **TIMES)))
        await ticks()

    async def ping() -> None:
        with pytest.raises(RuntimeError) as raised:
            await puppet.keepalive.ping()
        assert str(raised.value) == (
            "ping() belongs to the event loop of its connection, and this is another one: "
            "await it in the application's own coroutine"
        )

    async def end() -> None:
        puppet.returns()
        await servers[0].task

    puppet = Puppet()
    servers: list[FakeServer] = []
    with asyncio.Runner() as own:
        own.run(begin())
        with asyncio.Runner() as other:
            other.run(ping())
        assert servers[0].pings == []
        own.run(end())
