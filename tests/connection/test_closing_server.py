"""A server that closes for reasons of its own refuses Pings and failures."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgi_keepalive import ConnectionClosed, PingTimeout

from ..support.connection import CLOSED, TIMES, outcome
from ..support.fake_loop import accepted, elapsed, fake_loop, in_no_time, ticks


class TestServerThatIsClosing:
    @in_no_time
    async def test_refused_ping_ends_the_keepalive_quietly(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "asgi_keepalive")
        server, app = await accepted(**TIMES)
        server.is_open = False
        await asyncio.sleep(25)
        assert fake_loop().timers() == []
        await asyncio.sleep(1000)
        assert caplog.records == []
        assert not app.keepalive.timed_out
        event = server.disconnect(1006)
        assert await app.receive() is event

    @in_no_time
    async def test_refused_failure_is_no_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        """The server closes for a reason of its own, and will say so."""
        caplog.set_level(logging.INFO, "asgi_keepalive")
        server, app = await accepted(**TIMES)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await asyncio.sleep(25)
        assert type(await ping) is PingTimeout
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await ticks()
        server.is_open = False
        await asyncio.sleep(25)
        assert fake_loop().timers() == []
        assert not app.keepalive.timed_out
        assert repr(await ping) == repr(ConnectionClosed(CLOSED))
        with pytest.raises(ConnectionError, match="WebSocket"):  # the server's own
            await app.text("x")
        event = server.disconnect(1006)
        assert await app.receive() is event
        assert caplog.records == []

    @in_no_time
    async def test_told_of_it_the_keepalive_ends(self) -> None:
        server, app = await accepted(**TIMES)
        pings = [asyncio.ensure_future(outcome(app.keepalive.ping())) for _ in range(2)]
        await asyncio.sleep(5)
        server.closing()
        assert [repr(await ping) for ping in pings] == [repr(ConnectionClosed(CLOSED))] * 2
        assert elapsed() == 5
        assert fake_loop().timers() == []
        with pytest.raises(ConnectionClosed):
            await app.keepalive.ping()


@pytest.mark.parametrize("timeouts", [{"ping_timeout": None}, {}])
@in_no_time
async def test_server_that_notices_by_a_ping_that_the_connection_is_closing(
    timeouts: dict[str, Any],
) -> None:
    server, app = await accepted(ping_interval=20, **timeouts)

    def notice() -> None:
        app.keepalive._link.on_closing()  # type: ignore[union-attr]

    server.on_ping = notice
    await asyncio.sleep(100)
    assert len(server.pings) == 1
    assert fake_loop().timers() == []
