"""P9: the middleware itself releases an application whose server says nothing more."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout, get_keepalive

from ..support.connection import TIMES, outcome
from ..support.fake_loop import FakeServer, accepted, elapsed, in_no_time
from ..support.timeouts import FAILED


class TestSilentServer:
    """The server takes everything, and does nothing."""

    @in_no_time
    async def test_application_is_released_by_the_middleware_itself(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            report.append((await receive(), elapsed()))
            report.append((await receive(), elapsed()))
            report.append(type(await outcome(send({"type": "websocket.send", "text": "x"}))))
            report.append(get_keepalive(scope).latency)

        report: list[Any] = []
        server = FakeServer(KeepaliveMiddleware(app, **TIMES), pong_after=3)
        await asyncio.sleep(30)
        server.pong_after = None
        await server.task
        assert (server.pinged_at, server.failed_at) == ([20, 40], 50)
        assert server.pings[0] != server.pings[1]
        assert server.failures == [(1011, "keepalive ping timeout", 10)]
        assert report == [(FAILED, 50), (FAILED, 50), KeepaliveTimeout, 3]

    @in_no_time
    async def test_messages_that_wait_in_the_server_come_first(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(1000)
            report.extend([await receive() for _ in range(4)])

        report: list[Any] = []
        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        for text in "12":
            server.text(text)
        await server.task
        assert [event.get("text") for event in report[:2]] == ["1", "2"]
        assert report[2:] == [FAILED, FAILED]

    @pytest.mark.parametrize("error", [KeyError(), asyncio.CancelledError()], ids=repr)
    @in_no_time
    async def test_server_that_cannot_fail_the_connection(
        self, caplog: pytest.LogCaptureFixture, error: BaseException
    ) -> None:
        def mistake() -> None:
            raise error

        server, app = await accepted(**TIMES)
        server.on_fail = mistake
        async with asyncio.timeout(100):
            assert await app.receive() == FAILED
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.getMessage() == (
            "192.0.2.1:50000 /chat: the server cannot fail the connection"
        )
        assert record.exc_info is not None

    @in_no_time
    async def test_server_that_goes_on_reading_as_it_fails_the_connection(self) -> None:
        server, app = await accepted(**TIMES)
        phases = app.receive.__self__._connection.timer.crowd.phases
        server.on_fail = functools.partial(server.on_read_paused, False, time.monotonic())
        assert await app.receive() == FAILED
        assert phases._planned == {}
