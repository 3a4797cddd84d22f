"""Ends that are planned: by `max_age`, which says how old a connection may become."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout, Observer, get_keepalive
from asgi_keepalive.exceptions import ConnectionClosed

from .conftest import Reports, Serve
from .support.applications import accept
from .support.asking import ASKING, next_heartbeat
from .support.client import CLOSE, Client, close_code
from .support.fake_loop import FakeServer, Puppet, accepted, elapsed, in_no_time, ticks
from .support.server import freed

TOO_OLD = {"type": "websocket.disconnect", "code": 1001, "reason": "max age"}


class Noting(Observer):
    """Notes when it is told of an end, and of which."""

    told: list[tuple[str, float, Any]]

    def __init__(self, scope: Any) -> None:
        self.keepalive = get_keepalive(scope)

    def ending(self, deadline: float) -> None:
        self.told.append(("ending", elapsed(), deadline))

    def closed(self) -> None:
        self.told.append(("closed", elapsed(), None))


@pytest.fixture
def told() -> list[tuple[str, float, Any]]:
    Noting.told = []
    return Noting.told


class TestMaxAge:
    @in_no_time
    async def test_ends_within_the_last_tenth(self) -> None:
        ends = []
        for _ in range(20):
            began = elapsed()
            server, app = await accepted(max_age=100, pong_after=0.1)
            assert await app.receive() == TOO_OLD
            ends.append(elapsed() - began)
            assert server.failures == [(1001, "max age", 10.0)]
            app.returns()
            await server.task
        assert 90 <= min(ends) < 95 < max(ends) <= 100
        assert len(set(ends)) == 20

    @in_no_time
    async def test_counts_from_the_handshake(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await asyncio.sleep(95)
            assert get_keepalive(scope).ends_at is None
            await send({"type": "websocket.accept"})
            assert await receive() == TOO_OLD
            assert 95 <= elapsed() <= 100

        await FakeServer(KeepaliveMiddleware(app, max_age=100, ping_interval=None)).task

    @in_no_time
    async def test_longer_ago_than_it_may_be_old(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await asyncio.sleep(101)
            await send({"type": "websocket.accept"})
            assert await receive() == TOO_OLD
            assert elapsed() == 101

        await FakeServer(KeepaliveMiddleware(app, max_age=100)).task

    @in_no_time
    async def test_ends_at_is_when_it_ends(self) -> None:
        server, app = await accepted(max_age=100, ping_interval=None)
        ends_at = app.keepalive.ends_at
        assert ends_at is not None
        await app.receive()
        assert time.monotonic() == pytest.approx(ends_at, abs=0.001)
        assert app.keepalive.ends_at == ends_at
        assert app.keepalive.max_age == 100
        assert not app.keepalive.timed_out
        assert "ended as planned" in repr(app.keepalive)
        app.returns()
        await server.task

    @in_no_time
    async def test_no_limit_by_default(self) -> None:
        server, app = await accepted(ping_interval=None)
        assert app.keepalive.ends_at is None
        server.disconnect(1000)
        app.returns()
        await server.task

    @in_no_time
    async def test_what_is_ready_comes_first(self) -> None:
        server, app = await accepted(max_age=100, ping_interval=None)
        message = server.text("one")
        await asyncio.sleep(100)
        assert [await app.receive() for _ in range(3)] == [message, TOO_OLD, TOO_OLD]
        app.returns()
        await server.task

    @in_no_time
    async def test_send_raises_as_if_the_peer_had_left(self) -> None:
        server, app = await accepted(max_age=100, ping_interval=None)
        await asyncio.sleep(100)
        with pytest.raises(ConnectionError) as raised:
            await app.text("x")
        assert not isinstance(raised.value, KeepaliveTimeout)
        with pytest.raises(ConnectionClosed):
            await app.keepalive.ping()
        app.returns()
        await server.task

    @in_no_time
    async def test_blocked_send_is_released(self) -> None:
        server, app = await accepted(max_age=100, ping_interval=None)
        server.writable.clear()
        with pytest.raises(ConnectionError):
            await app.text("x")
        assert 90 <= elapsed() <= 100
        app.returns()
        await server.task

    @in_no_time
    async def test_error_that_leaves_the_application_is_not_logged(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            while True:
                await asyncio.sleep(1)
                await send({"type": "websocket.send", "text": "x"})

        await FakeServer(KeepaliveMiddleware(app, max_age=100, ping_interval=None)).task

    @in_no_time
    async def test_application_that_closes_before_is_left_alone(self) -> None:
        server, app = await accepted(max_age=100, ping_interval=None)
        await app.close()
        await asyncio.sleep(200)
        assert server.failures == []
        app.returns()
        await server.task

    @in_no_time
    async def test_server_that_closes_at_that_moment(self) -> None:
        server, app = await accepted(max_age=100, ping_interval=None)
        server.is_open = False  # and it has not told yet
        await asyncio.sleep(100)
        assert server.failures == []
        server.disconnect(1006)
        assert (await app.receive())["code"] == 1006
        app.returns()
        await server.task

    @in_no_time
    async def test_where_pings_are_refused(self) -> None:
        server, app = await accepted(max_age=100, ping_interval=1)
        server.on_ping = lambda: 1 // 0
        await asyncio.sleep(10)
        assert not app.keepalive.supported
        assert await app.receive() == TOO_OLD
        app.returns()
        await server.task

    @in_no_time
    async def test_server_of_level_1(self) -> None:
        lacks = {"fail", "bound_closing", "announce_exit"}
        server, app = await accepted(max_age=100, ping_interval=None, lacks=lacks)
        assert await app.receive() == TOO_OLD
        await ticks()
        assert server.sent[-1] == {"type": "websocket.close", "code": 1001, "reason": "max age"}
        app.returns()
        await server.task

    @in_no_time
    async def test_dead_peer_is_failed_before(self) -> None:
        server, app = await accepted(max_age=100)
        assert (await app.receive())["code"] == 1011
        await asyncio.sleep(100)
        assert len(server.failures) == 1
        app.returns()
        await server.task


class TestNotice:
    @in_no_time
    async def test_comes_before_the_end(self, told: list[Any]) -> None:
        server, app = await accepted(max_age=100, notice=7, ping_interval=None, observers=[Noting])
        ends_at = app.keepalive.ends_at
        await app.receive()
        [(ending, at, deadline), (closed, ended, _)] = told
        assert (ending, closed) == ("ending", "closed")
        assert deadline == ends_at
        assert ended - at == pytest.approx(7, abs=0.001)
        app.returns()
        await server.task

    @in_no_time
    async def test_longer_than_the_connection_lasts(self, told: list[Any]) -> None:
        server, app = await accepted(max_age=2, notice=60, ping_interval=None, observers=[Noting])
        await app.receive()
        assert [what for what, _, _ in told] == ["ending", "closed"]
        assert told[0][1] == 0
        app.returns()
        await server.task

    @in_no_time
    async def test_end_at_once_leaves_time_to_say_goodbye(self) -> None:
        class Goodbye(Observer):
            def __init__(self, scope: Any) -> None:
                self.soon = scope["state"]["soon"] = asyncio.Event()

            def ending(self, deadline: float) -> None:
                self.soon.set()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            waiting = [receive(), scope["state"]["soon"].wait()]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one) for one in waiting]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                tasks[0].cancel()
            await send({"type": "websocket.send", "text": "goodbye"})
            await send({"type": "websocket.close", "code": 1001})

        middleware = KeepaliveMiddleware(app, ping_interval=None, observers=[Goodbye])
        server = FakeServer(middleware)
        await ticks()
        await middleware.drain(0)
        assert [event.get("text", event.get("code")) for event in server.sent[1:]] == [
            "goodbye",
            1001,
        ]
        assert server.failures == []
        assert elapsed() < 0.1

    @in_no_time
    async def test_observer_that_raises_harms_nothing(self) -> None:
        class Raising(Observer):
            def ending(self, deadline: float) -> None:
                raise ValueError

        server, app = await accepted(
            max_age=100, ping_interval=None, observers=[lambda scope: Raising()]
        )
        assert await app.receive() == TOO_OLD
        app.returns()
        await server.task


class TestConfigure:
    @in_no_time
    async def test_shorter_and_longer(self) -> None:
        server, app = await accepted(max_age=1000, ping_interval=None)
        await asyncio.sleep(50)
        app.keepalive.configure(max_age=100)
        assert app.keepalive.ends_at is not None
        assert 40 <= app.keepalive.ends_at - time.monotonic() <= 50
        app.keepalive.configure(max_age=None)
        assert app.keepalive.ends_at is None
        await asyncio.sleep(1000)
        assert server.failures == []
        app.keepalive.configure(max_age=1)
        await ticks()
        assert await app.receive() == TOO_OLD
        app.keepalive.configure(max_age=5)  # of no effect
        app.returns()
        await server.task

    @in_no_time
    async def test_other_settings_leave_the_end_as_it_is(self, told: list[Any]) -> None:
        class Hurrying(Noting):
            def ending(self, deadline: float) -> None:
                super().ending(deadline)
                self.keepalive.configure(ping_interval=2)

        server, app = await accepted(max_age=100, observers=[Hurrying], pong_after=0.1)
        ends_at = app.keepalive.ends_at
        app.keepalive.configure(ping_interval=10, max_age=100)
        assert app.keepalive.ends_at == ends_at
        assert await app.receive() == TOO_OLD
        assert [what for what, _, _ in told] == ["ending", "closed"]
        app.returns()
        await server.task

    @in_no_time
    async def test_page_does_not_hear_of_an_end_that_is_taken_back(self) -> None:
        asking = ASKING.partition("?")[2].encode()
        server, app = await accepted(
            max_age=100, notice=50, pong_after=0.1, scope={"query_string": asking}
        )
        await asyncio.sleep(55)
        assert "reconnectAfter" in server.sent[-1]["text"]
        app.keepalive.configure(max_age=None)
        await ticks()
        assert "reconnectAfter" not in server.sent[-1]["text"]
        server.disconnect(1000)
        app.returns()
        await server.task

    @in_no_time
    async def test_inner_middleware_has_another_limit(self) -> None:
        app = Puppet()
        inner = KeepaliveMiddleware(app, max_age=100, ping_interval=None)
        server = FakeServer(KeepaliveMiddleware(inner, max_age=1000))
        await ticks()
        await app.receive()
        assert 90 <= elapsed() <= 100
        app.returns()
        await server.task

    @pytest.mark.parametrize("value", ["1", True, 0, -1, float("nan"), float("inf")])
    @pytest.mark.parametrize("name", ["max_age", "notice", "drain_window"])
    def test_value_that_makes_no_sense(self, name: str, value: Any) -> None:
        if value == 0 and value is not False and name != "max_age":
            value = -0.1  # as these may be 0
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
            KeepaliveMiddleware(Puppet(), **{name: value})


class TestMetrics:
    @in_no_time
    async def test_end_that_the_server_refuses_is_not_counted(self) -> None:
        class Ended(Observer):
            def __init__(self, scope: Any) -> None:
                self.keepalive = get_keepalive(scope)

            def closed(self) -> None:
                ended.append(self.keepalive._ended)

        ended: list[str | None] = []
        server, app = await accepted(max_age=100, ping_interval=None, observers=[Ended])
        server.is_open = False  # which it has yet to tell
        await asyncio.sleep(100)
        assert ended == [None]
        server.disconnect(1000)
        app.returns()
        await server.task


class TestRealServers:
    def test_client_and_application_are_told(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())

        server = serve(app, max_age=0.5)
        with Client(server.port).open() as client:
            began = time.monotonic()
            assert close_code(client.answer_until(CLOSE)) == (1001, "max age")
            assert time.monotonic() - began > 0.4
            assert reports.get() == TOO_OLD
            client.send(CLOSE, b"\x03\xe9")
            assert client.until_end() == []
        freed(server, client, 0)

    def test_page_is_told_before(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())

        server = serve(app, max_age=0.5, notice=0.2)
        with Client(server.port, path=ASKING).open() as client:
            heartbeat = {}
            while "reconnectAfter" not in heartbeat:
                heartbeat = next_heartbeat(client)
            assert heartbeat["reconnectAfter"] == 0
            assert reports.get() == TOO_OLD
