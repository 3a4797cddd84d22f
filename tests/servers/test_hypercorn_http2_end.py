"""How a stream ends on hypercorn over HTTP/2, if its client does not leave first."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypercorn.asyncio.worker_context import AsyncioSingleTask

from asgi_keepalive.servers.hypercorn import life

from ..conftest import Reports
from ..support.applications import accept, echo, stream
from ..support.client import CLOSE, TEXT, close_code, frame
from ..support.server import wait_until
from ..support.serving import APPLICATION_FAILED
from ..support.timeouts import CLOSE_TIMEOUT, INTERVAL, LATE, TIMEOUT
from .http2 import ANSWER, SLOW, Serve2, by_path, everywhere, lives, once, serve

__all__ = ["serve"]


@once
class TestApplication:
    """It ends a stream."""

    @pytest.mark.parametrize("ends", ["closes", "returns", "raises"])
    def test_while_its_client_still_sends(self, serve: Serve2, reports: Reports, ends: str) -> None:
        async def ending(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await receive()
            if ends == "raises":
                raise ValueError("the application's")
            if ends == "closes":
                await send({"type": "websocket.close", "code": 4001, "reason": "mine"})
                while (event := await receive())["type"] == "websocket.receive":
                    pass
                reports.put(event)

        served = serve(by_path(ending=ending), **SLOW)
        served.expected += APPLICATION_FAILED
        with served.connect() as client:
            other = client.open()
            ended = client.open("/ending")
            ended.send(TEXT, b"go")
            code = close_code(ended.expect(CLOSE))
            assert code == ((4001, "mine") if ends == "closes" else (1011, ""))
            client.until(lambda: ended.ended)
            ended.send_data(frame(TEXT, b"more") * 100)
            assert lives(client, other)
            ended.send_data(ANSWER, end=True)
            if ends == "closes":
                assert reports.get()["code"] == 4000
            assert lives(client, other)
            assert ended.reset is None
            wait_until(lambda: list(served.connections[0].streams) == [other.id])

    def test_that_its_client_does_not_notice(self, serve: Serve2, reports: Reports) -> None:
        async def closing(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.close"})
            reports.put(await receive())

        served = serve(by_path(closing=closing), **SLOW)
        with served.connect() as client:
            other = client.open()
            ended = client.open("/closing")
            ended.until_over()
            assert reports.get()["code"] == 1000
            client.until(lambda: ended.reset is not None)
            ended.send_data(b"")
            assert lives(client, other)

    @pytest.mark.parametrize("denies", ["close", "response"])
    def test_by_a_denial(self, serve: Serve2, denies: str) -> None:
        async def denying(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            if denies == "close":
                await send({"type": "websocket.close"})
                return
            kind = "websocket.http.response"
            await send({"type": f"{kind}.start", "status": 403, "headers": []})
            await send({"type": f"{kind}.body", "body": b"x" * 100_000, "more_body": True})
            await send({"type": f"{kind}.body", "body": b"y"})

        served = serve(by_path(denying=denying), **SLOW)
        with served.connect() as client:
            other = client.open()
            denied = client.connect("/denying")
            assert denied.response()[":status"] == "403"
            client.until(lambda: denied.ended)
            assert len(denied.buffer) == (0 if denies == "close" else 100_001)
            denied.end()
            assert lives(client, other)
            wait_until(lambda: list(served.connections[0].streams) == [other.id])


class TestGivenUp:
    """P8: the application ends, and its client does not."""

    @pytest.mark.parametrize("ends", ["closes", "returns"])
    def test_stream(self, serve: Serve2, ends: str) -> None:
        async def ending(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                async with asyncio.timeout(0.1):
                    await stream(send)
            except TimeoutError:
                pass
            if ends == "closes":
                await send({"type": "websocket.close", "code": 4001})

        served = serve(by_path(ending=ending), **SLOW)
        with served.connect() as client:
            other = client.open()
            frozen = client.open("/ending")
            frozen.reads = False
            client.until(lambda: frozen.reset is not None)
            assert lives(client, other)

    def test_tcp(self, serve: Serve2, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hypercorn has forgotten the stream before, and times how long TCP is idle."""

        async def ending(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                async with asyncio.timeout(0.2):
                    await stream(send)
            except TimeoutError:
                pass

        served = serve(ending, **SLOW)
        monkeypatch.setattr(life, "TIME_TO_ANSWER", CLOSE_TIMEOUT + 0.2)
        with served.connect(receive_buffer=4096, window=2**30) as client:
            client.connection.increment_flow_control_window(2**30)
            client.flush()
            client.open()
            served.freed(client, 0.4 + 2 * CLOSE_TIMEOUT)  # its acknowledgements count, too


@once
class TestSlowLink:
    """The HTTP/2 PING waits behind megabytes; TCP is acknowledged, and nothing else is sent."""

    def test_keeps_its_tcp(self, serve: Serve2) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await echo(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(40):
                part = {"type": "http.response.body", "body": bytes(65_536), "more_body": True}
                await send(part)
            await send({"type": "http.response.body"})

        served = serve(app)
        with served.connect(receive_buffer=65_536, window=2**30) as client:
            client.connection.increment_flow_control_window(2**30)
            download = client.request("GET", "/", end=True)
            client.open()
            client.read_slowly(INTERVAL + TIMEOUT + CLOSE_TIMEOUT + 1.3)
            client.until(lambda: download.ended)
            assert lives(client, client.open())


class TestExit:
    """P7: the server exits."""

    @everywhere
    def test_with_frozen_tcp(self, serve: Serve2) -> None:
        async def streaming(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await stream(send)

        served = serve(streaming, **SLOW)
        with served.connect(receive_buffer=4096, window=2**30) as client:
            client.connection.increment_flow_control_window(2**30)
            client.flush()
            client.open()
            time.sleep(0.2)
            assert served.server.stop() < 0.5 + CLOSE_TIMEOUT + LATE

    def test_with_streams(self, serve: Serve2) -> None:
        served = serve(echo, **SLOW)
        with served.connect() as client:
            idle, full = client.open(), client.open()
            served.server.exit()
            assert close_code(idle.expect(CLOSE))[0] == 1011
            client.until(lambda: full.ended)
            client.until(lambda: client.is_over)
            served.server.thread.join(0.5 + CLOSE_TIMEOUT + LATE)
            assert not served.server.thread.is_alive()


@once
def test_stream_that_ends_when_hypercorn_can_begin_no_task_any_more(
    serve: Serve2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It exits, and has cancelled them all."""

    async def over(single: Any, group: Any, action: Callable[[], Any]) -> None:
        begun.append(action())
        raise RuntimeError("the group of tasks is over")

    begun: list[Any] = []

    served = serve(by_path(), **SLOW)
    with served.connect() as client:
        ended = client.open()
        monkeypatch.setattr(AsyncioSingleTask, "restart", over)
        ended.send_data(ANSWER, end=True)
        ended.until_over()
        wait_until(lambda: not served.connections[0].streams)
        begun.clear()  # and nothing warns of it
        served.server.run(gc.collect)
