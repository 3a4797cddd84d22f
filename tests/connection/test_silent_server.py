"""P9: the middleware itself releases an application whose server says nothing more."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout, get_keepalive
from asgi_keepalive.extension import Application

from ..support.connection import TIMES, outcome
from ..support.fake_loop import accepted, elapsed, in_no_time
from ..support.timeouts import FAILED


async def connected(app: Application) -> Any:
    scope = {"type": "websocket", "path": "/", "extensions": {"websocket.ping": {}}}
    communicator: Any = ApplicationCommunicator(  # type: ignore[no-untyped-call]
        KeepaliveMiddleware(app, **TIMES), scope
    )
    await communicator.send_input({"type": "websocket.connect"})
    return communicator


class TestSilentServer:
    """`ApplicationCommunicator` passes events on, and does nothing else."""

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
        communicator = await connected(app)

        accept = await communicator.receive_output()
        assert accept == {
            "type": "websocket.accept",
            "keepalive": False,
            "close_timeout": 10,
            "on_pong": accept["on_pong"],
            "on_read_paused": accept["on_read_paused"],
        }
        ping = await communicator.receive_output(timeout=21)
        assert (ping["type"], type(ping["bytes"]), elapsed()) == ("websocket.ping", bytes, 20)
        await asyncio.sleep(3)
        ping["on_pong"](ping["bytes"], time.monotonic())
        second = await communicator.receive_output(timeout=21)
        assert (second["type"], elapsed()) == ("websocket.ping", 40)
        assert second["bytes"] != ping["bytes"]

        fail = await communicator.receive_output(timeout=11)
        assert (elapsed(), fail) == (
            50,
            {
                "type": "websocket.close",
                "code": 1011,
                "reason": "keepalive ping timeout",
                "timeout": 10,
            },
        )
        await communicator.wait()
        assert report == [(FAILED, 50), (FAILED, 50), KeepaliveTimeout, 3]
        assert await communicator.receive_nothing()

    @in_no_time
    async def test_messages_that_wait_in_the_server_come_first(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(1000)
            report.extend([await receive() for _ in range(4)])

        report: list[Any] = []
        communicator = await connected(app)
        for text in "12":
            await communicator.send_input({"type": "websocket.receive", "text": text})
        await communicator.wait(timeout=2000)
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
