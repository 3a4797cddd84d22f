"""Applications of each kind, and those that frameworks make."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout, get_keepalive

from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, elapsed, in_no_time, ticks
from ..support.middleware import unused


class TestApplications:
    @in_no_time
    async def test_asgi_2_application_that_says_so(self) -> None:
        class Asgi2:
            _asgi_double_callable = True

            def __init__(self, scope: Any) -> None:
                self.scope = scope

            async def __call__(self, receive: Any, send: Any) -> None:
                calls.append((self.scope["type"], receive, send))

        calls: list[Any] = []
        app: Any = Asgi2
        await KeepaliveMiddleware(app)({"type": "http"}, unused, unused)
        assert calls == [("http", unused, unused)]

    @in_no_time
    async def test_starlettes_endpoint_class(self) -> None:
        """It looks like an ASGI 2 application, but is not one."""

        class Endpoint(WebSocketEndpoint):
            async def on_connect(self, websocket: WebSocket) -> None:
                await websocket.accept()
                connected.append(get_keepalive(websocket).supported)

        connected: list[bool] = []
        server = FakeServer(KeepaliveMiddleware(Endpoint), query_string=b"", headers=[])
        await ticks()
        server.disconnect(1000)
        await server.task
        assert connected == [True]

    @in_no_time
    async def test_fastapi_on_a_dead_peer(self) -> None:
        app = FastAPI()
        app.add_middleware(KeepaliveMiddleware, **TIMES)

        @app.websocket("/chat")
        async def chat(websocket: WebSocket) -> None:
            await websocket.accept()
            with pytest.raises(WebSocketDisconnect) as raised:
                await websocket.receive_text()
            report.append((raised.value.code, raised.value.reason, elapsed()))
            report.append(websocket.state.keepalive is get_keepalive(websocket))

        report: list[Any] = []
        server = FakeServer(app, query_string=b"", headers=[])
        await server.task
        assert report == [(1011, "keepalive ping timeout", 30), True]

    @in_no_time
    async def test_starlette_that_only_sends(self) -> None:
        """Its `WebSocket.send` makes a `WebSocketDisconnect` of any `OSError`."""

        async def chat(websocket: WebSocket) -> None:
            await websocket.accept()
            await asyncio.sleep(35)
            with pytest.raises(WebSocketDisconnect) as raised:
                await websocket.send_text("x")
            report.append(raised.value.code)
            assert isinstance(raised.value.__context__, KeepaliveTimeout)

        report: list[int] = []
        app = Starlette(
            routes=[WebSocketRoute("/chat", chat)],
            middleware=[Middleware(KeepaliveMiddleware, **TIMES)],
        )
        await FakeServer(app, query_string=b"", headers=[]).task
        assert report == [1006]
