"""Starlette's test client, around and within the middleware."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_keepalive import KeepaliveMiddleware, get_keepalive


async def echo(websocket: WebSocket) -> None:
    assert not websocket.state.keepalive.supported
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close(4000, "mine")


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_connect(self, websocket: WebSocket) -> None:
        assert not get_keepalive(websocket).supported
        await websocket.accept()

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text(data)
        await websocket.close(4000, "mine")


KEEPALIVE = [Middleware(KeepaliveMiddleware, ping_interval=1)]


class TestStarlettesTestClient:
    """It is a server without the extension: applications can be tested as before."""

    @pytest.mark.parametrize(
        "route",
        [
            WebSocketRoute("/ws", echo, middleware=KEEPALIVE),
            WebSocketRoute("/ws", Echo, middleware=KEEPALIVE),
            Mount("/", routes=[WebSocketRoute("/ws", echo)], middleware=KEEPALIVE),
            Mount("/", KeepaliveMiddleware(Echo)),
        ],
        ids=["function", "endpoint class", "mount", "mounted application"],
    )
    def test_around_a_route(self, route: WebSocketRoute | Mount) -> None:
        self.talk(Starlette(routes=[route]))

    @pytest.mark.parametrize("endpoint", [echo, Echo])
    def test_around_an_application(self, endpoint: Any) -> None:
        app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
        app.add_middleware(KeepaliveMiddleware, ping_interval=1)
        self.talk(app)

    def test_around_fastapi(self) -> None:
        app = FastAPI()
        app.add_middleware(KeepaliveMiddleware, ping_interval=1)
        app.add_api_websocket_route("/ws", echo)
        self.talk(app)

    def test_around_everything(self) -> None:
        self.talk(KeepaliveMiddleware(Starlette(routes=[WebSocketRoute("/ws", echo)])))

    def test_http_and_lifespan(self) -> None:
        async def hello(request: Any) -> Response:
            return Response("hello")

        app = Starlette(routes=[Route("/", hello)])
        app.add_middleware(KeepaliveMiddleware)
        with TestClient(app) as client:
            assert client.get("/").text == "hello"

    @staticmethod
    def talk(app: Any) -> None:
        with TestClient(app) as client, client.websocket_connect("/ws") as websocket:
            websocket.send_text("hello")
            assert websocket.receive_text() == "hello"
            with pytest.raises(WebSocketDisconnect) as raised:
                websocket.receive_text()
            assert (raised.value.code, raised.value.reason) == (4000, "mine")


@pytest.mark.parametrize("make", [FastAPI, Starlette])
def test_bad_settings_stop_the_startup_and_are_logged(
    make: type[Starlette], caplog: pytest.LogCaptureFixture
) -> None:
    """Frameworks build their middleware as late as that."""
    text = "ping_timeout must be a positive number of seconds or None, not 0"
    app = make()
    app.add_middleware(KeepaliveMiddleware, ping_timeout=0)
    with pytest.raises(ValueError, match=f"^{text}$"), TestClient(app):
        pass
    assert ("asgi_keepalive", logging.ERROR, f"KeepaliveMiddleware: {text}") in caplog.record_tuples
