"""P1: an application is told of a silent peer at the moment of the timeout, not earlier."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware

from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, accepted, elapsed, fake_loop, in_no_time
from ..support.timeouts import FAILED


class TestIdleAndSilent:
    @in_no_time
    async def test_application_is_told_when_the_pong_is_overdue(self) -> None:
        server, app = await accepted(**TIMES)
        assert await app.receive() == FAILED
        assert elapsed() == 30
        assert server.pinged_at == [20]
        assert app.keepalive.timed_out

    @in_no_time
    async def test_later_calls_return_it_again(self) -> None:
        _, app = await accepted(**TIMES)
        assert [await app.receive() for _ in range(5)] == [FAILED] * 5
        assert elapsed() == 30

    @in_no_time
    async def test_each_call_returns_an_event_of_its_own(self) -> None:
        """Frameworks write into what they receive."""
        _, app = await accepted(**TIMES)
        (await app.receive()).clear()
        assert await app.receive() == FAILED

    @in_no_time
    async def test_server_is_told_to_fail_the_connection(self) -> None:
        server, app = await accepted(**TIMES, close_timeout=7)
        await app.receive()
        assert server.failures == [(1011, "keepalive ping timeout", 7)]

    @in_no_time
    async def test_peer_that_answers_in_time_lives(self) -> None:
        server, app = await accepted(**TIMES, pong_after=9.999)
        await asyncio.sleep(1010)
        assert server.failures == []
        # Whatever the latency, from one Ping to the next it is one interval.
        assert server.pinged_at == [20 * number for number in range(1, 51)]
        assert app.keepalive.latency == pytest.approx(9.999)

    @in_no_time
    async def test_peer_that_answers_too_late_does_not(self) -> None:
        server, app = await accepted(**TIMES, pong_after=10.001)
        assert await app.receive() == FAILED
        await asyncio.sleep(1)
        assert app.keepalive.latency is None
        assert server.failed_at == 30

    @in_no_time
    async def test_latency_longer_than_the_interval(self) -> None:
        server, _ = await accepted(ping_interval=1, ping_timeout=10, pong_after=2.5)
        await asyncio.sleep(9)
        assert server.pinged_at == [1, 3.5, 6, 8.5]

    @in_no_time
    async def test_peer_that_falls_silent(self) -> None:
        server, app = await accepted(**TIMES, pong_after=0.5)
        await asyncio.sleep(50)
        server.pong_after = None
        assert await app.receive() == FAILED
        assert elapsed() == 70
        assert app.keepalive.latency == 0.5

    @in_no_time
    async def test_messages_are_no_substitute_for_a_pong(self) -> None:
        server, app = await accepted(**TIMES)
        for number in range(29):
            fake_loop().call_later(number + 0.5, server.text, str(number))
        events = [await app.receive() for _ in range(30)]
        assert [event.get("text") for event in events[:29]] == [str(n) for n in range(29)]
        assert events[29] == FAILED

    @in_no_time
    async def test_time_counts_from_the_accept(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await asyncio.sleep(100)
            await send({"type": "websocket.accept"})
            await receive()

        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        await server.task
        assert server.pinged_at == [120]
        assert server.failed_at == 130

    @in_no_time
    async def test_time_counts_from_when_the_server_has_accepted(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await receive()
            await receive()

        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        server.writable.clear()
        fake_loop().call_later(7, server.writable.set)
        await server.task
        assert server.pinged_at == [27]

    @in_no_time
    async def test_deadline_and_latency_count_from_when_the_ping_has_been_written(self) -> None:
        """Which takes its time on a loop that compresses, encrypts, or is just busy."""
        server, app = await accepted(ping_interval=20, ping_timeout=10)
        server.on_ping = lambda: fake_loop().stall(0.5)
        server.pong_after = 1
        await asyncio.sleep(25)
        assert app.keepalive.latency == 1
        server.pong_after = None
        assert await app.receive() == FAILED
        assert server.pinged_at == [20.5, 41]
        assert elapsed() == 51

    @in_no_time
    async def test_without_interval_nothing_is_sent(self) -> None:
        server, _ = await accepted(ping_interval=None)
        await asyncio.sleep(1000)
        assert server.pings == []
        # It is taken over all the same.
        assert server.on_pong is not None

    @in_no_time
    async def test_without_timeout_nothing_fails(self) -> None:
        server, app = await accepted(ping_interval=20, ping_timeout=None)
        await asyncio.sleep(1010)
        assert server.pinged_at == [20 * number for number in range(1, 51)]
        server.pong(server.pings[-5])
        assert app.keepalive.latency == 1010 - 920
