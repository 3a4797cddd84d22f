"""An event loop whose tasks begin at once (Python 3.12), as applications may set it up."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout, get_keepalive

from .conftest import Reports, Serve
from .support.applications import accept
from .support.client import CLOSE, PING, PONG, Client, close_code
from .support.server import Server, kernel_sockets, running, wait_until
from .support.serving import serving

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="there are none before 3.12")


def make_eager(server: Server) -> None:
    # Not asyncio.eager_task_factory: until 3.13.3 it refuses what uvloop passes to it.
    def eager(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        return asyncio.Task(coroutine, loop=loop, **{**options, "eager_start": True})

    server.run(lambda: asyncio.get_running_loop().set_task_factory(eager))


def test_idle_and_silent(serve: Serve, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(await get_keepalive(scope).ping())
        reports.put(await receive())

    server = serve(app)
    make_eager(server)
    with Client(server.port).open() as client:
        client.send(PONG, client.expect(PING))
        assert reports.get() >= 0
        client.expect(PING)
        assert close_code(client.expect(CLOSE)) == (1011, "keepalive ping timeout")
        assert reports.get()["code"] == 1011
        client.send(CLOSE, b"\x03\xf3")
        client.until_end()


def test_frozen(serve: Serve, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(65536)})
                await asyncio.sleep(0)
        except KeepaliveTimeout as error:
            reports.put(error.verdict.reason)
            raise

    server = serve(app)
    make_eager(server)
    with Client(server.port, receive_buffer=4096).open() as client:
        assert reports.get() == "frozen"
        wait_until(lambda: not kernel_sockets(server.port, client.port))


@pytest.mark.parametrize("loop", ["asyncio"])
def test_through_what_wraps_both_calls(ws: str, loop: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        reports.put(get_keepalive(scope).supported)
        await accept(receive, send)

    middleware = KeepaliveMiddleware(app)

    async def wrapping(scope: Any, receive: Any, send: Any) -> None:
        await middleware(scope, lambda: receive(), lambda event: send(event))

    with running(serving(wrapping, ws=ws, loop=loop)) as server:
        make_eager(server)
        with Client(server.port).open():
            assert reports.get() is True


@pytest.mark.parametrize("module", ["sansio", "wsproto", "legacy"])
def test_class_that_declares_the_extension(module: str, loop: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(await get_keepalive(scope).ping())

    ws = f"asgi_keepalive.servers.uvicorn.{module}:KeepaliveProtocol"
    with running(serving(KeepaliveMiddleware(app), ws=ws, loop=loop)) as server:
        make_eager(server)
        with Client(server.port).open() as client:
            client.send(PONG, client.expect(PING))
            assert reports.get() >= 0
