"""P8: after a connection there is no timer, no reference and no word in the log."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from asgi_keepalive import ConnectionClosed, KeepaliveMiddleware

from ..support.connection import CLOSED, TIMES, outcome
from ..support.fake_loop import FakeServer, Puppet, accepted, fake_loop, in_no_time, ticks


class TestNothingLeftBehind:
    @in_no_time
    async def test_timers_are_shared(self) -> None:
        """There are one for connections that are pinged together, and one for the loop's stalls."""
        connections = [await accepted(pong_after=1) for _ in range(3)]
        await asyncio.sleep(100.5)
        assert len(fake_loop().timers()) == 3 + 1 + 1  # three Pongs are on their way
        await asyncio.sleep(5)
        assert len(fake_loop().timers()) == 1  # an idle process has no wake-up but its Pings
        for _, app in connections:
            app.returns()
        await asyncio.sleep(1)
        assert fake_loop().timers() == []

    @in_no_time
    async def test_pong_leaves_the_timer_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A timer more for each Pong would be much of what a cycle costs."""
        call_later = mock.Mock(wraps=fake_loop().call_later)
        monkeypatch.setattr(fake_loop(), "call_later", call_later)
        for _ in range(10):
            server, _ = await accepted(pong_after=1)
        await asyncio.sleep(105)
        assert len(server.pinged_at) == 5
        own = [call for call in call_later.mock_calls if "Crowd._fire" in str(call)]
        assert len(own) == 1 + 5
        # What is made anew for each is looked at, all at once, by the garbage collector.
        assert len({id(call.kwargs["context"]) for call in own}) == 1

    @in_no_time
    async def test_end_of_one_connection_leaves_the_loops_timer_to_the_others(self) -> None:
        """Even if it ends in several ways at once."""
        await accepted()
        server, leaving = await accepted()
        await leaving.close()
        leaving.returns()
        await server.task
        assert len(fake_loop().timers()) == 1

    @pytest.mark.parametrize(
        "end",
        [
            lambda server, app: app.returns(),
            lambda server, app: server.task.cancel(),
            lambda server, app: server.closing(),
            lambda server, app: asyncio.ensure_future(app.close()),
            lambda server, app: (server.disconnect(1001), asyncio.ensure_future(app.receive())),
        ],
        ids=["return", "cancellation", "told by the server", "close", "disconnect"],
    )
    @pytest.mark.parametrize("after", [1, 25], ids=["idle", "Ping in flight"])
    @in_no_time
    async def test_no_timer(
        self, after: float, end: Callable[[FakeServer, Puppet], object]
    ) -> None:
        server, app = await accepted(**TIMES)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await asyncio.sleep(after)
        end(server, app)
        await ticks()
        assert fake_loop().timers() == []
        assert ping.done()

    @in_no_time
    async def test_no_timer_after_a_failure(self) -> None:
        _, app = await accepted(**TIMES)
        await app.receive()
        assert fake_loop().timers() == []

    @pytest.mark.parametrize("fails", [False, True])
    @in_no_time
    async def test_no_reference(self, fails: bool) -> None:
        server, app = await accepted(**TIMES)
        server.text("unread")
        await asyncio.sleep(40 if fails else 25)
        connection = weakref.ref(app.receive.__self__._connection)
        keepalive = weakref.ref(app.keepalive)
        scope = weakref.ref(server)
        app.returns()
        await server.task
        del app, server
        gc.collect()
        assert (connection(), keepalive(), scope()) == (None, None, None)

    @in_no_time
    async def test_nothing_of_manual_pings_that_are_over(self) -> None:
        def futures() -> int:
            gc.collect()
            # Not isinstance: Django's settings, for one, answer for what they stand for.
            return sum(issubclass(type(one), asyncio.Future) for one in gc.get_objects())

        server, app = await accepted(ping_interval=None, ping_timeout=10, pong_after=1)
        before = futures()
        for _ in range(10):
            await app.keepalive.ping()
        server.pong_after = None
        for _ in range(10):
            await outcome(app.keepalive.ping())
            await outcome(asyncio.wait_for(app.keepalive.ping(), 1))
        assert futures() < before + 5

    @in_no_time
    async def test_state_outlives_the_connection_but_does_not_keep_it(self) -> None:
        server, app = await accepted(**TIMES, pong_after=1)
        await asyncio.sleep(25)
        connection = weakref.ref(app.receive.__self__._connection)
        keepalive = app.keepalive
        app.returns()
        await server.task
        gc.disable()  # it is not left to the garbage collector
        del app, server
        assert connection() is None
        gc.enable()
        assert (keepalive.latency, keepalive.ping_interval) == (1, 20)
        with pytest.raises(ConnectionClosed, match=CLOSED):
            await keepalive.ping()

    @in_no_time
    async def test_accept_that_outlives_the_application(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            accepting.append(asyncio.ensure_future(send({"type": "websocket.accept"})))
            await ticks()

        accepting: list[asyncio.Future[None]] = []
        server = FakeServer(KeepaliveMiddleware(app))
        server.writable.clear()
        await server.task
        server.writable.set()
        await asyncio.wait(accepting)
        assert fake_loop().timers() == []

    @in_no_time
    async def test_accepted_twice(self) -> None:
        """Which a server should refuse, but not every one does."""
        server, app = await accepted(**TIMES)
        await app.send({"type": "websocket.accept"})
        app.returns()
        await server.task
        assert fake_loop().timers() == []

    @in_no_time
    async def test_nothing_is_logged_of_what_is_normal(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "asgi_keepalive")
        server, app = await accepted(pong_after=1)
        await asyncio.sleep(100)
        await app.close()
        app.returns()
        await server.task
        assert caplog.records == []
