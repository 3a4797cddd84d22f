"""A Ping that does not reach the server, for a wrapper in between refuses it."""

from __future__ import annotations

import asyncio
import logging
from math import inf
from typing import Any

import pytest

from asgi_keepalive import KeepaliveUnsupported, Observer

from ..support.connection import TIMES, outcome
from ..support.fake_loop import FakeServer, accepted, elapsed, fake_loop, in_no_time, ticks
from ..support.timeouts import FAILED


class TestRefusedPing:
    """Something between server and middleware does not know the extension's events."""

    ERRORS = (RuntimeError("no"), KeyError("no"), asyncio.CancelledError("no"))

    @staticmethod
    def refuse(server: FakeServer, error: BaseException, times: float = inf) -> None:
        def refuse() -> None:
            nonlocal times
            times -= 1
            if times >= 0:
                raise error

        server.on_ping = refuse

    @pytest.mark.parametrize("error", ERRORS, ids=repr)
    @in_no_time
    async def test_one_is_logged_and_the_heartbeat_goes_on(
        self, caplog: pytest.LogCaptureFixture, error: BaseException
    ) -> None:
        server, app = await accepted(**TIMES, pong_after=1)
        for _ in range(3):
            self.refuse(server, error, times=1)
            await asyncio.sleep(60)
        assert server.pinged_at == [40, 60, 100, 120, 160, 180]
        assert app.keepalive.supported
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
        assert caplog.messages[0] == (
            "192.0.2.1:50000 /chat: a Ping was refused; "
            "if the next is, too, keepalive is off for this connection"
        )
        assert all(record.exc_info and record.exc_info[1] is error for record in caplog.records)
        server.pong_after = None
        assert await app.receive() == FAILED

    @in_no_time
    async def test_two_in_a_row_mean_that_there_is_no_keepalive(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(15)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await ticks()
        self.refuse(server, RuntimeError("no"))
        app.keepalive.configure(ping_interval=3)  # the manual Ping is still in flight at the second
        await asyncio.sleep(4)
        assert type(await ping) is KeepaliveUnsupported
        assert not app.keepalive.supported
        assert not app.keepalive.timed_out
        assert fake_loop().timers() == []
        assert len(caplog.records) == 1
        with pytest.raises(KeepaliveUnsupported):
            await app.keepalive.ping()
        app.keepalive.configure(ping_interval=1)
        await asyncio.sleep(100)
        # It runs as it would without the middleware.
        event = server.text("x")
        assert await app.receive() is event
        await app.text("y")
        assert server.sent[-1]["text"] == "y"

    @in_no_time
    async def test_observers_are_told_of_the_end_when_it_comes(self) -> None:
        told: list[str] = []

        class Noting(Observer):
            def __init__(self, scope: Any) -> None:
                pass

            def closed(self) -> None:
                told.append("closed")

        server, app = await accepted(**TIMES, observers=[Noting])
        self.refuse(server, RuntimeError("no"))
        await asyncio.sleep(100)
        assert not app.keepalive.supported
        assert told == []
        server.disconnect(1001)
        await app.receive()
        assert told == ["closed"]

    @pytest.mark.parametrize("error", ERRORS, ids=repr)
    @pytest.mark.parametrize("ping_interval", [20, None])
    @in_no_time
    async def test_manual_one_tells_its_application(
        self, caplog: pytest.LogCaptureFixture, ping_interval: float | None, error: BaseException
    ) -> None:
        server, app = await accepted(ping_interval=ping_interval, ping_timeout=10, pong_after=1)
        self.refuse(server, error, times=3)
        for _ in range(3):
            with pytest.raises(
                KeepaliveUnsupported, match=r"^the server has refused the Ping$"
            ) as e:
                await app.keepalive.ping()
            assert e.value.__cause__ is error
        assert app.keepalive.supported
        assert app.keepalive.statistics.pings == 0
        assert not app.keepalive._link._heartbeat._pings  # type: ignore[union-attr]
        assert not app.keepalive._link._manual  # type: ignore[union-attr]
        assert await app.keepalive.ping() == 1
        await asyncio.sleep(30)
        assert server.pinged_at == ([0] if ping_interval is None else [0, 20])
        assert caplog.records == []

    @in_no_time
    async def test_of_a_connection_that_closes_at_that_moment(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        server, app = await accepted(**TIMES)

        def close_and_refuse() -> None:
            app.keepalive._link.on_closing()  # type: ignore[union-attr]
            raise RuntimeError("no")

        server.on_ping = close_and_refuse
        await asyncio.sleep(100)
        assert fake_loop().timers() == []

    @in_no_time
    async def test_whatever_is_raised_the_timer_goes_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(record: logging.LogRecord) -> bool:
            raise ValueError(record.getMessage())

        caplog.set_level(logging.DEBUG, "asgi_keepalive")
        _, app = await accepted(**TIMES)
        logger = logging.getLogger("asgi_keepalive")
        logger.addFilter(fail)
        await asyncio.sleep(20.5)
        logger.removeFilter(fail)
        [context] = fake_loop().errors
        assert type(context["exception"]) is ValueError
        fake_loop().errors.clear()
        assert await app.receive() == FAILED
        assert elapsed() == 30
