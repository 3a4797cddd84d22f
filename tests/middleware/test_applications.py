"""Applications of each kind, and those that frameworks make."""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import logging
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


class Calling(type):
    """A metaclass, whose classes are applications themselves."""

    async def __call__(cls, *call: Any) -> None:
        await cls.run(cls, *call)  # type: ignore[attr-defined]


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

    @pytest.mark.parametrize("metaclass", [type, Calling])
    @in_no_time
    async def test_class_whose_call_can_be_awaited(self, metaclass: type) -> None:
        async def new(cls: type, scope: Any, receive: Any, send: Any) -> None:
            calls.append(scope["type"])

        calls: list[str] = []
        members = {"__new__": new} if metaclass is type else {"run": new}
        app: Any = metaclass("App", (), members)
        await KeepaliveMiddleware(app)({"type": "http"}, unused, unused)
        assert calls == ["http"]

    @in_no_time
    async def test_what_takes_other_arguments_than_it_tells(self) -> None:
        """A decorator may show the signature of what it wraps."""

        async def handler(request: Any) -> None: ...

        @functools.wraps(handler)
        async def app(*call: Any) -> None:
            calls.append(call[0]["type"])

        class Static:
            @staticmethod
            async def __call__(scope: Any, receive: Any, send: Any) -> None:
                calls.append(scope["type"])

        class Callable:
            async def __call__(self, scope: Any, receive: Any, send: Any, extra: int = 0) -> None:
                calls.append(scope["type"])

        class Telling(Callable):
            __signature__ = inspect.signature(handler)

        calls: list[str] = []
        apps: list[Any] = [app, Static(), Telling(), functools.partial(app), Callable().__call__]
        for one in apps:
            await KeepaliveMiddleware(one)({"type": "http"}, unused, unused)
        assert calls == ["http"] * 5

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


class Asgi2:
    """It does not say so, and nothing can tell."""

    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class Consumer:
    """As Channels has them, which is not imported here: a process must then configure Django."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    @classmethod
    def as_asgi(cls) -> None: ...


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> None: ...

    def __repr__(self) -> str:
        return "<wsgi>"


def create_app() -> None: ...


CLASS = "app must be an ASGI application, not a class: say {}, not {}"
THREE = (
    "app must be an ASGI application, which is called with scope, receive and send, but {} takes "
    "{}: if it makes the application, call it"
)


@pytest.mark.parametrize(
    ("app", "text"),
    [
        (None, "app must be an ASGI application, not None"),
        ("main:app", "app must be an ASGI application, not 'main:app'"),
        (Starlette, CLASS.format("Starlette(...)", "Starlette")),
        (FastAPI, CLASS.format("FastAPI(...)", "FastAPI")),
        (Consumer, CLASS.format("Consumer.as_asgi()", "Consumer")),
        (Asgi2, CLASS.format("Asgi2(...)", "Asgi2")),
        (create_app, THREE.format(repr(create_app), "()")),
        (Wsgi(), THREE.format("<wsgi>", "(environ, start_response)")),
    ],
    ids=itertools.count(),  # others have addresses
)
def test_what_is_no_application_is_refused_at_once(
    app: Any, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TypeError) as raised:
        KeepaliveMiddleware(app)
    assert str(raised.value) == text
    line = f"KeepaliveMiddleware: {text}"
    assert caplog.record_tuples == [("asgi_keepalive", logging.ERROR, line)]
