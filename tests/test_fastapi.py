"""The documentation's code for FastAPI: a parameter for the keepalive, settings for a route."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from starlette.testclient import TestClient

from asgi_keepalive import Keepalive, KeepaliveMiddleware, get_keepalive, hints

from .support.client import TEXT, Client
from .support.server import running
from .support.serving import serving
from .test_readme import code


def application(*blocks: str, **middleware: Any) -> dict[str, Any]:
    """Return the names that blocks of the documentation leave, their application `app` included."""
    app = FastAPI()
    app.add_middleware(KeepaliveMiddleware, **middleware)
    names: dict[str, Any] = {"app": app, "APIRouter": APIRouter}
    for block in blocks:
        exec(code(block), names)
    return names


def test_it_is_a_parameter_of_an_endpoint() -> None:
    app = application("async def latency")["app"]
    with (
        running(serving(app, loop="asyncio", ws="auto")) as server,
        Client(server.port, path="/latency").open() as client,
    ):
        assert client.answer_until(TEXT) == b'{"latency":null}'


def test_it_is_none_of_an_http_endpoint() -> None:
    app = application()["app"]

    @app.get("/")  # type: ignore[untyped-decorator]
    async def root(keepalive: Annotated[Keepalive, Depends(get_keepalive)]) -> None: ...

    with pytest.raises(LookupError, match=r"^only WebSocket connections have a keepalive, "):
        TestClient(app).get("/")


@pytest.mark.parametrize("path", ["/phone", "/tablet"])
def test_settings_for_a_route(path: str) -> None:
    async def tablet(websocket: WebSocket) -> None:
        await websocket.accept()

    def note(scope: Any) -> None:
        keepalive = get_keepalive(scope)
        times = keepalive.ping_interval, keepalive.ping_timeout, keepalive.close_timeout
        noted.append(times)

    noted: list[tuple[float | None, ...]] = []
    names = application("async def latency", "async def phone", "patient", observers=[note])
    names["router"].add_api_websocket_route("/tablet", tablet)
    names["app"].include_router(names["router"])
    with TestClient(names["app"]).websocket_connect(path):
        assert noted == [(120, 60, 2)]


def test_its_type_without_starlette(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "starlette.requests")
    assert hints.Connection == Mapping[str, Any] | hints.HasScope
    with pytest.raises(AttributeError, match=r"^module 'asgi_keepalive.hints' has no attribute 'x"):
        hints.x  # type: ignore[attr-defined]  # noqa: B018
