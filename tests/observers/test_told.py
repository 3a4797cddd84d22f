"""What observers are told, and when; of two middlewares, too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware

from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, Puppet, in_no_time, ticks
from ..support.observers import Notes, observed
from ..support.timeouts import FAILED


class TestWhatTheyAreTold:
    @in_no_time
    async def test_pings_and_pongs(self) -> None:
        notes = Notes()
        server, app = await observed(notes)
        await asyncio.sleep(45)
        assert notes.taken == [
            (0, "opened"),
            (20, "pinged"),
            (21, "ponged", 1),
            (40, "pinged"),
            (41, "ponged", 1),
        ]
        assert notes.scopes == [app.scope]
        assert notes.scopes[0] is app.scope
        server.pong_after = 2
        await app.keepalive.ping()
        assert notes.taken[5:] == [(45, "pinged"), (47, "ponged", 2)]

    @in_no_time
    async def test_pong_that_acknowledges_several(self) -> None:
        notes = Notes()
        server, app = await observed(notes, pong_after=None)
        pings = [asyncio.create_task(app.keepalive.ping()) for _ in range(2)]
        await asyncio.sleep(1)
        server.pong(server.pings[1])
        await asyncio.gather(*pings)
        assert [what for _, what, *_ in notes.taken] == ["opened", "pinged", "pinged", "ponged"]
        server.pong(b"nobody's")
        assert len(notes.taken) == 4

    @in_no_time
    async def test_failure(self) -> None:
        notes = Notes()
        _, app = await observed(notes, pong_after=None)
        assert await app.receive() == FAILED
        app.returns()
        await ticks()
        verdict = app.keepalive.verdict
        assert verdict
        assert notes.taken[2:] == [(30, "failed", verdict), (30, "closed")]

    @pytest.mark.parametrize("how", ["returns", "close", "disconnect", "lost"])
    @in_no_time
    async def test_closed_comes_once(self, how: str) -> None:
        notes = Notes()
        server, app = await observed(notes)
        await asyncio.sleep(25)
        if how == "returns":
            app.returns()
        elif how == "close":
            await app.close()
        elif how == "disconnect":
            server.disconnect(1000)
            await app.receive()
        else:
            server.closing()
        await ticks()
        assert notes.taken[3:] == [(25, "closed")]
        app.returns()
        await server.task
        assert len(notes.taken) == 4

    @in_no_time
    async def test_nothing_of_what_is_never_accepted(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.close"})

        notes = Notes()
        await FakeServer(KeepaliveMiddleware(app, observers=[notes])).task
        assert (notes.taken, notes.scopes) == ([], [])

    @in_no_time
    async def test_without_an_interval_that_it_opens_and_closes(self) -> None:
        notes = Notes()
        server, app = await observed(notes, ping_interval=None)
        await asyncio.sleep(100)
        app.returns()
        await server.task
        assert notes.taken == [(0, "opened"), (100, "closed")]


class TestTwoMiddlewares:
    @in_no_time
    async def test_both_are_told(self) -> None:
        outer, inner, both = Notes(), Notes(), Notes()
        app = Puppet()
        wrapped = KeepaliveMiddleware(app, observers=[inner, both], **TIMES)
        wrapped = KeepaliveMiddleware(wrapped, observers=[outer, both])
        FakeServer(wrapped, pong_after=1)
        await asyncio.sleep(25)
        expected = [(0, "opened"), (20, "pinged"), (21, "ponged", 1)]
        assert outer.taken == inner.taken == both.taken == expected

    @in_no_time
    async def test_inner_one_around_a_connection_that_is_open_already(self) -> None:
        async def router(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(25)
            await KeepaliveMiddleware(app, observers=[notes], **TIMES)(scope, receive, send)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        notes = Notes()
        server = FakeServer(KeepaliveMiddleware(router, **TIMES), pong_after=1)
        await asyncio.sleep(45)
        server.disconnect(1000)
        await server.task
        assert notes.taken == [
            (25, "opened"),
            (40, "pinged"),
            (41, "ponged", 1),
            (45, "closed"),
        ]
