"""The name that metrics have for a path."""

from __future__ import annotations

from typing import Any

import litestar
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from asgi_keepalive.extension import Application
from asgi_keepalive.observers.metrics import route


class TestRoute:
    """The template of the route, never the path."""

    def routes(self, app: Application, *paths: str) -> list[str | None]:
        """Return what is found for connections to each path, when they are accepted."""
        found: list[str | None] = []

        async def spying(scope: Any, receive: Any, send: Any) -> None:
            async def spying_send(event: Any) -> None:
                if event["type"] == "websocket.accept":
                    found.append(route(scope))
                await send(event)

            await app(scope, receive, spying_send)

        client = TestClient(spying)
        for path in paths:
            with client.websocket_connect(path):
                pass
        return found

    async def plain(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})

    async def endpoint(self, websocket: WebSocket) -> None:
        await websocket.accept()

    def test_plain_application(self) -> None:
        assert self.routes(self.plain, "/rooms/4711") == [None]

    def test_fastapi(self) -> None:
        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()

        router = APIRouter(prefix="/v1/{tenant}")
        router.add_api_websocket_route("/rooms/{room}", endpoint)
        mounted = FastAPI()
        mounted.add_api_websocket_route("/rooms/{room}", endpoint)
        app = FastAPI()
        app.include_router(router)
        app.add_api_websocket_route("/files/{name:path}", endpoint)
        app.mount("/mounted", mounted)
        app.mount("/of/{tenant}", mounted)
        app.mount("/same/{room}", mounted)
        app.mount("/plain/{tenant}", self.plain)
        assert self.routes(
            app,
            "/v1/secret/rooms/4711",
            "/files/a/b",
            "/mounted/rooms/4711",
            "/of/secret/rooms/4711",
            "/same/secret/rooms/4711",
            "/plain/secret/4711",
        ) == [
            "/v1/{tenant}/rooms/{room}",
            "/files/{name:path}",
            "/mounted/rooms/{room}",
            "/rooms/{room}",
            "/rooms/{room}",
            None,
        ]

    def test_starlette(self) -> None:
        rooms = WebSocketRoute("/rooms/{room:int}", self.endpoint)
        app = Starlette(
            routes=[
                rooms,
                Mount("/mounted", routes=[rooms, Mount("/deep", routes=[rooms])]),
                Mount("/of/{tenant}", routes=[Mount("/deep", routes=[rooms])]),
                Mount("/plain", self.plain),
                Mount("/plain/of/{tenant}", self.plain),
            ]
        )
        paths = "/rooms/4711", "/mounted/rooms/4711", "/mounted/deep/rooms/4711"
        found = self.routes(app, *paths, "/of/secret/deep/rooms/4711", "/plain/4711")
        told = [path.replace("4711", "{room:int}") for path in paths]
        assert found in ([*told, "/rooms/{room:int}", "/plain"], [None] * 5)  # older ones

    def test_litestar(self) -> None:
        @litestar.websocket("/rooms/{room:int}")
        async def endpoint(socket: litestar.WebSocket[Any, Any, Any]) -> None:
            await socket.accept()

        assert self.routes(litestar.Litestar([endpoint], logging_config=None), "/rooms/4711") == [
            "/rooms/{room}"
        ]

    @pytest.mark.parametrize(
        ("scope", "expected"),
        [
            ({}, None),
            ({"route": object()}, None),
            # What the server strips is no part of it.
            ({"route": WebSocketRoute("/ws", None), "root_path": "/proxy"}, "/ws"),  # type: ignore[arg-type]
            (
                {
                    "route": Mount("/at/{tenant}", routes=[]),
                    "root_path": "/proxy/at/secret",
                    "app_root_path": "/proxy",
                    "path_params": {"tenant": "secret"},
                },
                "/at/{tenant}",
            ),
        ],
    )
    def test_scope(self, scope: dict[str, Any], expected: str | None) -> None:
        assert route(scope) == expected
