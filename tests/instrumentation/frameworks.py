"""Applications of each framework; the middleware is wherever each lets it be added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgi_keepalive import KeepaliveMiddleware, get_keepalive

from .handlers import bare, handle

TIMES: dict[str, Any] = {"ping_interval": 0.2, "ping_timeout": 0.3, "close_timeout": 0.3}

Layers = Sequence[tuple[Any, dict[str, Any]]]
"""Middlewares with their settings, the outermost first."""


def fastapi(outer: Layers = (), inner: Layers = ()) -> Any:
    """Return a FastAPI application with middlewares around the one here, and inside it."""
    from fastapi import FastAPI, WebSocket

    async def endpoint(websocket: WebSocket, path: str) -> None:
        await handle(path, websocket, get_keepalive(websocket))

    endpoint.__annotations__["websocket"] = WebSocket
    app = FastAPI()
    app.add_api_websocket_route("/{path}", endpoint)
    for cls, settings in [*outer, (KeepaliveMiddleware, TIMES), *inner][::-1]:
        app.add_middleware(cls, **settings)
    return app


def starlette(outer: Layers = (), inner: Layers = ()) -> Any:
    """Return a Starlette application, with the middleware here on a route of a mount."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Mount, WebSocketRoute
    from starlette.websockets import WebSocket

    async def endpoint(websocket: WebSocket) -> None:
        await handle(websocket.path_params["path"], websocket, get_keepalive(websocket))

    layers = [Middleware(cls, **settings) for cls, settings in outer]
    own = [Middleware(KeepaliveMiddleware, **TIMES)]
    own += [Middleware(cls, **settings) for cls, settings in inner]
    route = WebSocketRoute("/{path}", endpoint, middleware=own)
    return Starlette(routes=[Mount("/mount", routes=[route])], middleware=layers)


def quart() -> Any:
    """Return a Quart application."""
    from quart import Quart, websocket

    class Connection:  # what `websocket` stands for is there only while it is handled
        async def accept(self) -> None:
            await websocket.accept()

        async def receive_text(self) -> str:
            return str(await websocket.receive())

        async def send_text(self, text: str) -> None:
            await websocket.send(text)

        async def send_bytes(self, data: bytes) -> None:
            await websocket.send(data)

        async def close(self, code: int) -> None:
            await websocket.close(code)

    app = Quart(__name__)

    @app.websocket("/<path>")
    async def endpoint(path: str) -> None:
        await handle(path, Connection(), get_keepalive(websocket))

    app.asgi_app = KeepaliveMiddleware(app.asgi_app, **TIMES)  # type: ignore
    return app


def litestar() -> Any:
    """Return a Litestar application, with the middleware here in its own list."""
    from litestar import Litestar, WebSocket, websocket
    from litestar.middleware import DefineMiddleware
    from litestar.middleware.session.client_side import CookieBackendConfig

    @websocket("/{path:str}")
    async def endpoint(socket: WebSocket[Any, Any, Any], path: str) -> None:
        await handle(path, socket, get_keepalive(socket))

    endpoint.fn.__annotations__["socket"] = WebSocket
    return Litestar(
        [endpoint],
        middleware=[
            CookieBackendConfig(secret=bytes(16)).middleware,
            # Litestar's types want an application whose scope is a `TypedDict` of its own.
            DefineMiddleware(KeepaliveMiddleware, **TIMES),  # type: ignore[arg-type]
        ],
        logging_config=None,
    )


def channels() -> Any:
    """Return an application of Channels, with the middleware here inside all others."""
    import django  # type: ignore[import-untyped]
    from django.conf import settings  # type: ignore[import-untyped]

    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
        SECRET_KEY="known to all",
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    )
    django.setup()

    from channels.auth import AuthMiddlewareStack  # type: ignore[import-untyped]
    from channels.routing import ProtocolTypeRouter, URLRouter  # type: ignore[import-untyped]
    from channels.security.websocket import AllowedHostsOriginValidator  # type: ignore[import-untyped]
    from django.urls import path  # type: ignore[import-untyped]

    inside = KeepaliveMiddleware(bare, **TIMES)
    router = URLRouter([path("<str:path>", inside)])
    stack = AllowedHostsOriginValidator(AuthMiddlewareStack(router))
    return ProtocolTypeRouter({"websocket": stack})
