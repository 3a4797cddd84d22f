"""`Keepalive.ping()`, beside the keepalive's own Pings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_keepalive import (
    ConnectionClosed,
    KeepaliveMiddleware,
    KeepaliveTimeout,
    PingTimeout,
    get_keepalive,
)

from ..support.connection import CLOSED, TIMES, outcome, until_failed
from ..support.fake_loop import FakeServer, accepted, elapsed, fake_loop, in_no_time, ticks
from ..support.timeouts import FAILED


class TestManualPing:
    @in_no_time
    async def test_returns_and_updates_the_latency(self) -> None:
        server, app = await accepted(ping_interval=None, pong_after=0.25)
        assert await app.keepalive.ping() == 0.25
        assert app.keepalive.latency == 0.25
        server.pong_after = 0.5
        assert await app.keepalive.ping() == 0.5
        assert app.keepalive.latency == 0.5

    @in_no_time
    async def test_concurrent_pings_have_each_their_own_latency(self) -> None:
        server, app = await accepted(ping_interval=None)
        first = asyncio.ensure_future(app.keepalive.ping())
        await asyncio.sleep(1)
        second = asyncio.ensure_future(app.keepalive.ping())
        await asyncio.sleep(1)
        third = asyncio.ensure_future(app.keepalive.ping())
        await asyncio.sleep(1)
        server.pong(server.pings[1])  # acknowledges the first, too
        assert (await first, await second, app.keepalive.latency) == (3, 2, 2)
        assert not third.done()
        await asyncio.sleep(1)
        server.pong(server.pings[2])
        assert await third == 2

    @in_no_time
    async def test_expires_and_harms_nothing(self) -> None:
        server, app = await accepted(ping_interval=None, ping_timeout=7.5)
        with pytest.raises(PingTimeout, match=r"^no Pong for 7\.5 s$"):
            await app.keepalive.ping()
        assert elapsed() == 7.5
        assert server.failures == []
        server.pong_after = 1
        assert await app.keepalive.ping() == 1
        server.text("still open")
        assert (await app.receive())["text"] == "still open"

    @in_no_time
    async def test_each_expires_in_its_own_time(self) -> None:
        _, app = await accepted(ping_interval=None, ping_timeout=10)
        ended: list[tuple[int, float]] = []

        async def ping(number: int) -> None:
            await asyncio.sleep(number)
            with pytest.raises(PingTimeout):
                await app.keepalive.ping()
            ended.append((number, elapsed()))

        await asyncio.gather(*map(ping, range(3)))
        assert ended == [(0, 10), (1, 11), (2, 12)]

    @in_no_time
    async def test_without_timeout_it_waits_as_long_as_the_connection_lasts(self) -> None:
        _, app = await accepted(ping_interval=None, ping_timeout=None)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await asyncio.sleep(1000)
        assert not ping.done()
        app.returns()
        assert type(await ping) is ConnectionClosed

    @in_no_time
    async def test_cancelling_one_harms_neither_the_others_nor_the_connection(self) -> None:
        server, app = await accepted(ping_interval=None, ping_timeout=10)
        first, second = (asyncio.ensure_future(app.keepalive.ping()) for _ in range(2))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(1)
        server.pong(server.pings[0])  # nobody waits for that any more
        assert app.keepalive.latency == 2
        server.pong(server.pings[1])
        assert await second == 2
        assert first.cancelled()

    @in_no_time
    async def test_of_one_that_was_cancelled_nothing_is_heard(self) -> None:
        server, app = await accepted(ping_interval=None, ping_timeout=10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(app.keepalive.ping(), 1)
        assert elapsed() == 1
        await asyncio.sleep(100)
        assert server.failures == []
        await app.text("still open")

    @in_no_time
    async def test_given_up_ones_are_forgotten_in_the_end(self) -> None:
        """An application may have a timeout of its own, and a peer that never answers."""
        server, app = await accepted(ping_interval=None, ping_timeout=None)
        for _ in range(100):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(app.keepalive.ping(), 1)
        server.pong(server.pings[0])
        assert app.keepalive.latency is None

    @in_no_time
    async def test_cancelled_at_the_moment_of_its_pong(self) -> None:
        server, app = await accepted(ping_interval=None)
        first, second = (asyncio.ensure_future(app.keepalive.ping()) for _ in range(2))
        await ticks()
        first.cancel()
        server.pong(server.pings[1])
        assert await second == 0
        await ticks()
        assert first.cancelled()

    @pytest.mark.parametrize("end", ["expiry", "close"])
    @in_no_time
    async def test_cancelled_at_the_moment_of_its_end(self, end: str) -> None:
        _, app = await accepted(ping_interval=None, ping_timeout=10)
        expiry = fake_loop().time() + 10
        ping = asyncio.ensure_future(app.keepalive.ping())
        # In the same turn of the loop as the expiry; of several one comes before it.
        for _ in range(4):
            fake_loop().call_at(expiry, ping.cancel)
        await ticks()
        if end == "expiry":
            await asyncio.sleep(11)
        else:
            ping.cancel()
            await app.close()
        await ticks()
        assert ping.cancelled()

    @pytest.mark.parametrize("answered", [True, False])
    @in_no_time
    async def test_several_with_the_same_payload(
        self, monkeypatch: pytest.MonkeyPatch, answered: bool
    ) -> None:
        """Four random bytes may be the same twice."""
        monkeypatch.setattr("asgi_keepalive.connection.new_payload", lambda: bytes(4))
        server, app = await accepted(**TIMES, pong_after=1 if answered else None)
        pings = [asyncio.ensure_future(outcome(app.keepalive.ping())) for _ in range(3)]
        await asyncio.sleep(12)
        assert {str(await ping) for ping in pings} == {"1.0" if answered else "no Pong for 10 s"}
        await asyncio.sleep(10)
        assert server.pinged_at == [0, 0, 0, 20]

    @in_no_time
    async def test_its_pong_acknowledges_the_keepalive_ping_before_it(self) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(25)
        ping = asyncio.ensure_future(app.keepalive.ping())
        await asyncio.sleep(1)
        server.pong(server.pings[1])
        assert await ping == 1
        await asyncio.sleep(9)
        assert server.failures == []
        assert server.pinged_at == [20, 25]

    @in_no_time
    async def test_it_is_no_substitute_for_the_keepalive_ping(self) -> None:
        server, app = await accepted(**TIMES)
        ping = asyncio.ensure_future(app.keepalive.ping())
        await asyncio.sleep(9)
        server.pong(server.pings[0])
        assert await ping == 9
        assert await app.receive() == FAILED
        assert elapsed() == 30

    @in_no_time
    async def test_before_accept(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            errors.append(await outcome(get_keepalive(scope).ping()))

        errors: list[Any] = []
        server = FakeServer(KeepaliveMiddleware(app))
        await server.task
        text = "the connection has not been accepted yet: accept it before you call ping()"
        assert repr(errors) == f"[ConnectionClosed({text!r})]"

    @in_no_time
    async def test_when_the_application_closes(self) -> None:
        _, app = await accepted()
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await ticks()
        await app.close()
        assert type(await ping) is ConnectionClosed
        with pytest.raises(ConnectionClosed):
            await app.keepalive.ping()

    @in_no_time
    async def test_when_the_server_is_closing_already(self) -> None:
        server, app = await accepted()
        server.is_open = False
        with pytest.raises(ConnectionClosed, match=CLOSED):
            await app.keepalive.ping()
        assert fake_loop().timers() == []

    @in_no_time
    async def test_when_the_connection_fails(self) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(25)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await until_failed(server)
        error = await ping
        assert type(error) is KeepaliveTimeout
        assert error.keepalive is app.keepalive
        with pytest.raises(KeepaliveTimeout, match=r"^keepalive ping timeout, silent: "):
            await app.keepalive.ping()
