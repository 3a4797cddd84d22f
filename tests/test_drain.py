"""Draining: connections are closed one after another, and new ones are refused."""

from __future__ import annotations

import asyncio
import gc
import logging
import operator
import sys
import time
import weakref
from collections import Counter
from typing import Any
from unittest import mock

import pytest

import asgi_keepalive
from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.servers import find
from asgi_keepalive.servers.advice import Advice

from .support.applications import accept, until_told
from .support.asking import ASKING
from .support.fake_loop import START, FakeServer, Puppet, elapsed, fake_loop, in_no_time, ticks
from .support.middleware import unused

RESTART = {"type": "websocket.disconnect", "code": 1012, "reason": "service restart"}


async def several(count: int, app: Any = until_told, **settings: Any) -> tuple[Any, Any]:
    """Return a middleware, and the servers of so many connections."""
    middleware = KeepaliveMiddleware(app, **{"ping_interval": None, **settings})
    servers = [FakeServer(middleware) for _ in range(count)]
    await ticks()
    return middleware, servers


def eager(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
    """Make a task that begins at once, where Python can."""
    begin = {"eager_start": True} if sys.version_info >= (3, 12) else {}
    return asyncio.Task(coroutine, loop=loop, **{**options, **begin})


def reconnect_after(server: FakeServer) -> float:
    """Return what the last heartbeat of a connection has told its page."""
    return float(server.sent[-1]["text"].partition('"reconnectAfter":')[2][:-1])


class TestDrain:
    @in_no_time
    async def test_evenly_over_the_window(self) -> None:
        middleware, servers = await several(10)
        await middleware.drain(5)
        ends = sorted(server.failed_at for server in servers)
        assert ends == pytest.approx([0.5 * number for number in range(10)], abs=0.001)
        assert {server.failures[0] for server in servers} == {(1012, "service restart", 10.0)}
        assert elapsed() < 5

    @in_no_time
    async def test_in_an_order_that_is_not_that_of_arrival(self) -> None:
        middleware, servers = await several(20)
        await middleware.drain(5)
        ends = [server.failed_at for server in servers]
        assert ends != sorted(ends)

    @in_no_time
    async def test_all_at_once(self) -> None:
        middleware, servers = await several(250)
        await middleware.drain(0)
        assert [server.failures for server in servers] == [[(1012, "service restart", 10.0)]] * 250
        assert elapsed() < 0.1

    @in_no_time
    async def test_application_is_told(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            told.append(await receive())
            told.append(get_keepalive(scope).timed_out)

        told: list[Any] = []
        middleware, _ = await several(1, app)
        await middleware.drain(5)
        assert told == [RESTART, False]

    @in_no_time
    async def test_ends_at_tells_when(self) -> None:
        apps = [Puppet(), Puppet()]
        middleware, servers = await several_puppets(apps)
        draining = asyncio.create_task(middleware.drain(8))
        await ticks()
        ends = [(app.keepalive.ends_at or 0) - START for app in apps]
        assert sorted(ends) == pytest.approx([0, 4], abs=0.001)
        await asyncio.sleep(5)
        assert [server.failed_at for server in servers] == pytest.approx(ends, abs=0.001)
        for app in apps:
            app.returns()
        await draining

    @in_no_time
    async def test_waits_for_applications_but_not_for_ever(self) -> None:
        app = Puppet()
        middleware, [server] = await several(1, app, close_timeout=3)
        await middleware.drain(2)
        assert 5 <= elapsed() < 6
        app.returns()
        await server.task

    @in_no_time
    async def test_application_that_closes_meanwhile_is_left_alone(self) -> None:
        apps = [Puppet() for _ in range(4)]
        middleware, servers = await several_puppets(apps)
        draining = asyncio.create_task(middleware.drain(4))
        await asyncio.sleep(1.5)
        for app, server in zip(apps, servers, strict=True):
            if server.is_open:
                await app.close()
        for app in apps:
            app.returns()
        await draining
        kinds = Counter(
            (len(server.failures), server.sent[-1]["type"] == "websocket.close")
            for server in servers
        )
        assert kinds == {(1, False): 2, (0, True): 2}

    @in_no_time
    async def test_older_than_it_may_become(self) -> None:
        middleware, [server] = await several(1, max_age=10)
        other = FakeServer(middleware)
        await asyncio.sleep(8.5)
        await middleware.drain(60)
        assert {server.failures[0][:2], other.failures[0][:2]} == {(1012, "service restart")}
        assert elapsed() < 20

    @in_no_time
    async def test_age_does_not_outlast_a_drain(self) -> None:
        apps = [Puppet(), Puppet()]
        middleware, servers = await several_puppets(apps, max_age=11)
        draining = asyncio.create_task(middleware.drain(30))
        await ticks()
        for app in apps:
            app.keepalive.configure(max_age=None)
        await asyncio.sleep(12)
        assert [server.failures[0][0] for server in servers] == [1012, 1012]
        for app in apps:
            app.returns()
        await draining

    @in_no_time
    async def test_again_and_faster(self) -> None:
        middleware, servers = await several(10)
        slow = asyncio.create_task(middleware.drain(100))
        await asyncio.sleep(15)
        await middleware.drain(1)
        assert max(server.failed_at for server in servers) < 17
        await middleware.drain(100)
        await slow
        assert [len(server.failures) for server in servers] == [1] * 10
        assert elapsed() < 17

    @in_no_time
    async def test_faster_makes_nobody_later(self) -> None:
        apps = [Puppet() for _ in range(40)]
        middleware, servers = await several_puppets(apps)
        slow = asyncio.create_task(middleware.drain(100))
        await asyncio.sleep(1)
        before = [app.keepalive.ends_at or 0 for app in apps]
        fast = asyncio.create_task(middleware.drain(90))
        await ticks(10)
        assert all(map(operator.le, [app.keepalive.ends_at or 0 for app in apps], before))
        for app in apps:
            app.returns()
        await asyncio.gather(slow, fast)
        assert max(server.failed_at or 0 for server in servers) <= 1

    @in_no_time
    async def test_some_leave_while_ends_are_planned(self) -> None:
        apps = [Puppet() for _ in range(100)]
        middleware, servers = await several_puppets(apps)
        draining = asyncio.create_task(middleware.drain(5))
        await ticks(2)
        for app, server in zip(apps, servers, strict=True):
            server.disconnect(1001)
            app.returns()
        await draining
        assert sum(len(server.failures) for server in servers) <= 1
        assert fake_loop().timers() == []

    @in_no_time
    async def test_cancelled_it_goes_on(self) -> None:
        middleware, servers = await several(3)
        draining = asyncio.create_task(middleware.drain(3))
        await asyncio.sleep(0.5)
        draining.cancel()
        await asyncio.gather(draining, *[server.task for server in servers], return_exceptions=True)
        assert all(server.failures for server in servers)

    @in_no_time
    async def test_keeps_nothing_of_a_connection_that_has_gone(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            gone.append(weakref.ref(get_keepalive(scope)))
            await until_told(scope, receive, send)

        gone: list[Any] = []
        middleware, servers = await several(3, app)
        draining = asyncio.create_task(middleware.drain(30))
        await asyncio.sleep(15)
        servers = [server for server in servers if server.is_open]
        gc.collect()
        assert [one() is None for one in gone].count(True) == 2
        await draining

    @in_no_time
    async def test_only_its_own(self) -> None:
        middleware, [server] = await several(1)
        _, [other] = await several(1)
        await middleware.drain(1)
        await asyncio.sleep(10)
        assert server.failures
        assert not other.failures
        other.disconnect(1000)
        await other.task

    @in_no_time
    async def test_all_of_the_process(self) -> None:
        _, [server] = await several(1)
        _, [other] = await several(1)
        await asgi_keepalive.drain(1)
        assert server.failures
        assert other.failures

    @in_no_time
    async def test_inner_middleware(self) -> None:
        inner = KeepaliveMiddleware(until_told, ping_interval=None)
        server = FakeServer(KeepaliveMiddleware(inner, ping_interval=None))
        await ticks()
        await inner.drain(1)
        assert server.failures

    @pytest.mark.parametrize("window", ["1", None, -1, float("nan"), True])
    @in_no_time
    async def test_window_that_makes_no_sense(self, window: Any) -> None:
        for drain in KeepaliveMiddleware(Puppet()).drain, asgi_keepalive.drain:
            with pytest.raises((TypeError, ValueError), match=r"^window must be"):
                await drain(window)

    @in_no_time
    async def test_page_is_told_when_to_come_back(self) -> None:
        middleware = KeepaliveMiddleware(until_told, ping_interval=20)
        asking = ASKING.partition("?")[2].encode()
        servers = [FakeServer(middleware, query_string=asking, pong_after=0.1) for _ in range(40)]
        await ticks()
        await middleware.drain(10)
        after = [reconnect_after(server) for server in servers]
        assert 0 <= min(after) < 2
        assert 8 < max(after) <= 10
        assert len(set(after)) > 30


async def several_puppets(apps: list[Puppet], **settings: Any) -> tuple[Any, Any]:
    """Return a middleware, and the server of each application."""
    waiting = iter(apps)

    async def app(*call: Any) -> None:
        await next(waiting)(*call)

    return await several(len(apps), app, **settings)


class TestHandshakes:
    @in_no_time
    async def test_refused_with_503(self) -> None:
        middleware, _ = await several(2)
        draining = asyncio.create_task(middleware.drain(10))
        await asyncio.sleep(1)
        server = FakeServer(middleware)
        await server.task
        start, body = server.sent
        assert start["status"] == 503
        assert dict(start["headers"])[b"retry-after"] == b"9"
        assert body["type"] == "websocket.http.response.body"
        assert middleware.draining.refused == 1
        await draining

    @in_no_time
    async def test_accepted_and_closed_where_the_server_cannot_say_503(self) -> None:
        middleware, _ = await several(1)
        await middleware.drain(0)
        for offered, chosen in ([], None), (["a", "b"], "a"):
            server = FakeServer(middleware, extensions={}, subprotocols=offered)
            await server.task
            accepted, closed = server.sent
            assert accepted == {
                "type": "websocket.accept",
                "subprotocol": chosen,
                "headers": [],
            }
            assert (closed["code"], closed["reason"]) == (1012, "service restart")

    @in_no_time
    async def test_peer_that_has_left(self) -> None:
        middleware, _ = await several(1)
        await middleware.drain(0)
        server = FakeServer(middleware)
        server.incoming.get_nowait()
        server.disconnect(1006)
        await server.task
        assert server.sent == []

    @in_no_time
    async def test_connection_that_something_else_has_accepted(self) -> None:
        middleware, _ = await several(1)
        await middleware.drain(0)
        server = FakeServer(middleware)
        server.incoming.get_nowait()
        server.incoming.put_nowait({"type": "websocket.receive", "text": "early"})
        await server.task
        assert server.failures == [(1012, "service restart", 10.0)]

    @in_no_time
    async def test_handshake_that_has_begun_before(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await asyncio.sleep(3)
            await send({"type": "websocket.accept"})
            told.append((await receive(), elapsed()))

        told: list[Any] = []
        middleware, _ = await several(1, app)
        await middleware.drain(10)
        assert told == [(RESTART, 3)]

    @in_no_time
    async def test_handshake_that_the_drain_overtakes(self) -> None:
        def find_late(*call: Any) -> Any:
            if middleware.draining is None:
                middleware._groups.here.begin(8)
                return Advice("the server is not ready yet")  # as an eager task begins early
            return find(*call)

        middleware, _ = await several(3)
        asyncio.get_running_loop().set_task_factory(eager)
        with mock.patch("asgi_keepalive.middleware.find", find_late):
            server = FakeServer(middleware)
            await ticks(3)
        assert middleware.draining.total == 4
        await middleware.drain(8)
        await server.task
        assert elapsed() <= 8

    @in_no_time
    async def test_closed_before_it_returns_to_a_server_that_cannot_fail(self) -> None:
        middleware, _ = await several(1)
        await middleware.drain(0)
        scope = FakeServer(middleware, lacks=["fail"]).scope
        del scope["extensions"]["websocket.http.response"]
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(event: Any) -> None:
            sent.append(event["type"])

        await middleware(scope, receive, send)
        assert sent == ["websocket.accept", "websocket.close"]

    @in_no_time
    async def test_other_scopes_pass(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            called.append(scope["type"])

        called: list[str] = []
        middleware = KeepaliveMiddleware(app)
        await middleware.drain(0)
        await middleware({"type": "http"}, unused, unused)
        assert called == ["http"]


class TestProgress:
    @in_no_time
    async def test_numbers(self) -> None:
        middleware, _ = await several(10)
        before = middleware.draining
        assert before is None
        draining = asyncio.create_task(middleware.drain(5))
        await asyncio.sleep(2.6)
        progress = middleware.draining
        assert (progress.total, progress.left, progress.refused) == (10, 4, 0)
        assert progress.ends_at - time.monotonic() == pytest.approx(2.4, abs=0.01)
        await draining
        assert middleware.draining.left == 0

    @in_no_time
    async def test_one_line_a_second(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "asgi_keepalive")
        middleware, _ = await several(5)
        await middleware.drain(5)
        lines = [record.getMessage() for record in caplog.records]
        assert lines[0] == "draining 5 connections over 5 s"
        assert "draining: 3 of 5 connections are closed, the last will be in 3 s" in lines[2]
        assert lines[-1] == "drained: 5 connections closed"
        assert len(lines) == 5

    @pytest.mark.parametrize(
        ("window", "shown"), [(0.5, "0.5 s"), (12.34, "12.3 s"), (1234.5, "1,234 s")]
    )
    @in_no_time
    async def test_seconds(
        self, caplog: pytest.LogCaptureFixture, window: float, shown: str
    ) -> None:
        caplog.set_level(logging.INFO, "asgi_keepalive")
        middleware, _ = await several(1)
        await middleware.drain(window)
        assert caplog.messages[0] == f"draining 1 connection over {shown}"

    @in_no_time
    async def test_one_line_after_a_stall(self, caplog: pytest.LogCaptureFixture) -> None:
        middleware, _ = await several(2)
        draining = asyncio.create_task(middleware.drain(40))
        await asyncio.sleep(0.5)
        caplog.set_level(logging.INFO, "asgi_keepalive")
        fake_loop().stall(10)
        await asyncio.sleep(0.9)
        assert len(caplog.messages) == 1
        await draining

    @in_no_time
    async def test_applications_that_go_on(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "asgi_keepalive")
        app = Puppet()
        middleware, [server] = await several(1, app, close_timeout=1)
        await middleware.drain(0)
        last = caplog.records[-1].getMessage()
        assert last == "draining: 1 connection closed, applications that go on: 1"
        app.returns()
        await server.task


class TestExit:
    @in_no_time
    async def test_within_the_window(self) -> None:
        _, servers = await several(4, drain_window=4)
        for server in servers:
            server.on_exit(float("inf"))
        await asyncio.gather(*[server.task for server in servers])
        ends = sorted(server.failed_at for server in servers)
        assert ends == pytest.approx([0, 1, 2, 3], abs=0.001)

    @pytest.mark.parametrize(
        ("grace", "close_timeout", "window", "last_timeout"),
        [(10, 10, 7.5, 4.175), (10, 1, 8, 1), (2, 10, 1.5, 0.675), (0, 10, 0, 0.1)],
    )
    @in_no_time
    async def test_within_the_grace(
        self, grace: float, close_timeout: float, window: float, last_timeout: float
    ) -> None:
        """The last connection has at most a quarter of the grace for its close."""
        _, servers = await several(4, drain_window=8, close_timeout=close_timeout)
        servers[0].on_exit(grace)
        await asyncio.gather(*[server.task for server in servers])
        last = max(servers, key=lambda server: server.failed_at)
        assert last.failed_at == pytest.approx(0.75 * window, abs=0.001)
        assert last.failures[0][2] == pytest.approx(last_timeout, abs=0.001)
        assert last.failed_at + last.failures[0][2] <= max(grace - 0.1, 0.1)

    @in_no_time
    async def test_pages_need_not_hurry_though_the_grace_is_short(self) -> None:
        middleware = KeepaliveMiddleware(until_told, drain_window=100)
        asking = ASKING.partition("?")[2].encode()
        servers = [FakeServer(middleware, query_string=asking, pong_after=0.1) for _ in range(20)]
        await ticks()
        servers[0].on_exit(4)
        await asyncio.gather(*[server.task for server in servers])
        assert max(server.failed_at or 0 for server in servers) < 4
        assert max(map(reconnect_after, servers)) > 50

    @in_no_time
    async def test_in_the_midst_of_a_drain(self) -> None:
        middleware, servers = await several(4, drain_window=8, close_timeout=10)
        draining = asyncio.create_task(middleware.drain(8))
        await asyncio.sleep(1)
        servers[0].on_exit(10)
        await draining
        ends = sorted((server.failed_at, server.failures[0][2]) for server in servers)
        assert ends[0] == pytest.approx((0, 10), abs=0.001)
        for failed_at, timeout in ends[1:]:
            assert failed_at + timeout == pytest.approx(10.8, abs=0.001)

    @in_no_time
    async def test_not_announced_unless_asked_for(self) -> None:
        _, [server] = await several(1)
        assert server.on_exit is None
        server.disconnect(1000)
        await server.task

    @in_no_time
    async def test_server_that_does_not_tell(self, caplog: pytest.LogCaptureFixture) -> None:
        middleware = KeepaliveMiddleware(until_told, drain_window=4, ping_interval=None)
        servers = [FakeServer(middleware, lacks={"announce_exit"}) for _ in range(2)]
        await ticks()
        for server in servers:
            server.disconnect(1000)
            await server.task
        [record] = caplog.records
        assert "this server does not tell of its exit" in record.getMessage()
        assert fake_loop().timers() == []
