"""Every kind of application is accepted, and so is what becomes of it; mypy checks this file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, assert_type

import pytest
from asgiref.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable
from asgiref.typing import Scope as AsgirefScope
from fastapi import FastAPI, WebSocket
from litestar import Litestar
from litestar import WebSocket as LitestarWebSocket
from prometheus_client import CollectorRegistry
from quart import Quart
from quart import websocket as quart_websocket
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.routing import Mount, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_keepalive import (
    Keepalive,
    KeepaliveMiddleware,
    KeepaliveTimeout,
    Observer,
    get_keepalive,
)
from asgi_keepalive.observers.live import LiveConnections
from asgi_keepalive.observers.opentelemetry import OpenTelemetryMetrics
from asgi_keepalive.observers.prometheus import PrometheusMetrics


async def plain(scope: Any, receive: Any, send: Any) -> None: ...


async def untyped(scope, receive, send):  # type: ignore[no-untyped-def]
    ...


async def starlette_typed(scope: Scope, receive: Receive, send: Send) -> None: ...


async def asgiref_typed(
    scope: AsgirefScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None: ...


class Instance:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Endpoint(WebSocketEndpoint): ...


async def unused(*args: Any) -> Any: ...


def test_applications_that_are_accepted() -> None:
    KeepaliveMiddleware(plain)
    KeepaliveMiddleware(untyped)
    KeepaliveMiddleware(starlette_typed)
    KeepaliveMiddleware(asgiref_typed)
    KeepaliveMiddleware(Instance())
    KeepaliveMiddleware(Endpoint)
    KeepaliveMiddleware(Starlette())
    KeepaliveMiddleware(FastAPI())
    KeepaliveMiddleware(KeepaliveMiddleware(FastAPI()), ping_interval=None, close_timeout=0)


def test_applications_that_are_not() -> None:
    async def request_handler(request: Any) -> None: ...

    with pytest.raises(TypeError):
        KeepaliveMiddleware(request_handler)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        KeepaliveMiddleware(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        KeepaliveMiddleware()  # type: ignore[call-arg]


def test_settings_that_are_not_accepted() -> None:
    with pytest.raises(TypeError):
        KeepaliveMiddleware(plain, ping_interval="20")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        KeepaliveMiddleware(plain, close_timeout=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        KeepaliveMiddleware(plain, required=None)  # type: ignore[arg-type]


class Watching(Observer):
    def __init__(self, scope: Scope) -> None: ...


def test_observers_that_are_accepted() -> None:
    registry = CollectorRegistry()
    KeepaliveMiddleware(
        plain,
        observers=[
            Watching,
            lambda scope: Observer(),
            LiveConnections(),
            OpenTelemetryMetrics(),
            PrometheusMetrics(registry),
        ],
    )
    FastAPI().add_middleware(KeepaliveMiddleware, observers=(Watching,))
    with pytest.raises(TypeError):
        KeepaliveMiddleware(plain, observers=[Observer()])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        KeepaliveMiddleware(plain, observers=Watching)  # type: ignore[arg-type]


def test_it_can_be_added_to_frameworks() -> None:
    FastAPI().add_middleware(KeepaliveMiddleware)
    FastAPI().add_middleware(KeepaliveMiddleware, ping_interval=20, ping_timeout=None)
    FastAPI().add_middleware(KeepaliveMiddleware, required=True)
    Starlette().add_middleware(KeepaliveMiddleware, ping_interval=20.5)
    Starlette(middleware=[Middleware(KeepaliveMiddleware, close_timeout=0)])
    WebSocketRoute("/", Endpoint, middleware=[Middleware(KeepaliveMiddleware)])
    Mount("/", FastAPI(), middleware=[Middleware(KeepaliveMiddleware, ping_timeout=1)])
    Middleware(KeepaliveMiddleware, ping_intervall=20)  # type: ignore[call-arg]
    KeepaliveMiddleware(Litestar(logging_config=None))
    KeepaliveMiddleware(Quart("quart").asgi_app)


def test_result_is_an_application() -> None:
    for_starlette: ASGIApp = KeepaliveMiddleware(FastAPI())
    for_asgiref: ASGI3Application = KeepaliveMiddleware(FastAPI())  # type: ignore[assignment]
    Mount("/", for_starlette)
    Mount("/", KeepaliveMiddleware(plain))
    FastAPI().mount("/", KeepaliveMiddleware(plain))
    assert callable(for_asgiref)


def test_state_is_typed() -> None:
    keepalive = Keepalive(KeepaliveMiddleware(plain).settings)
    scope = {"state": {"keepalive": keepalive}}
    assert_type(get_keepalive(scope), Keepalive)
    websocket = WebSocket({"type": "websocket", **scope}, unused, unused)
    assert_type(get_keepalive(websocket), Keepalive)
    assert_type(keepalive.latency, float | None)
    assert_type(keepalive.ping_interval, float | None)
    assert_type(keepalive.ping_timeout, float | None)
    assert_type(keepalive.close_timeout, float)
    assert_type(keepalive.supported, bool)
    assert_type(keepalive.timed_out, bool)
    assert_type(KeepaliveTimeout(keepalive).keepalive, Keepalive)
    with pytest.raises(TypeError):
        get_keepalive(object())  # type: ignore[arg-type]


def test_connections_of_other_frameworks_are_accepted() -> None:
    def in_litestar(socket: LitestarWebSocket[Any, Any, Any]) -> None:
        assert_type(get_keepalive(socket), Keepalive)

    def in_quart() -> None:
        assert_type(get_keepalive(quart_websocket), Keepalive)

    with pytest.raises(LookupError):
        in_litestar(LitestarWebSocket({"type": "websocket"}))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="Not within a websocket context"):
        in_quart()


def test_typed_scope_of_asgiref_is_accepted() -> None:
    def application(scope: AsgirefScope) -> Keepalive:
        return get_keepalive(scope)

    with pytest.raises(LookupError):
        application({"type": "lifespan", "asgi": {"spec_version": "2.0", "version": "3.0"}})


async def ping(keepalive: Keepalive) -> None:
    assert_type(await keepalive.ping(), float)


def test_type_checkers_are_told_that_the_package_is_typed() -> None:
    spec = importlib.util.find_spec("asgi_keepalive")
    assert spec is not None
    assert spec.origin is not None
    assert (Path(spec.origin).parent / "py.typed").is_file()
