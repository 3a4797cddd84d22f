"""A `Peer` in each test client, around applications that have the middleware anywhere."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import textwrap
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from channels.testing import WebsocketCommunicator  # type: ignore[import-untyped]
from fastapi import FastAPI
from httpx_ws import AsyncWebSocketSession, WebSocketDisconnect, aconnect_ws
from httpx_ws.transport import ASGIWebSocketTransport
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket
from starlette.websockets import WebSocketDisconnect as StarletteDisconnect

from asgi_keepalive import KeepaliveMiddleware, Observer, Verdict, get_keepalive, testing
from asgi_keepalive.testing import Peer, PeerConnection

PUBLIC = [
    *(Peer, Peer.connections, Peer.pong_after, Peer.lose_pong, Peer.freeze, Peer.time_out),
    *(PeerConnection, testing),
]
KEEPALIVE = [Middleware(KeepaliveMiddleware, required=True)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def latency(websocket: WebSocket) -> None:
    """Tell the latency for each message, in the end why the client has gone."""
    await websocket.accept()
    keepalive = get_keepalive(websocket)
    try:
        while True:
            await websocket.send_text(f"{await websocket.receive_text()}: {keepalive.latency}")
    except StarletteDisconnect as gone:
        websocket.app.state.gone = gone.code, keepalive.timed_out


def in_fastapi() -> FastAPI:
    app = FastAPI()
    app.add_middleware(KeepaliveMiddleware, required=True)
    app.add_api_websocket_route("/ws", latency)
    return app


def around_a_route() -> Starlette:
    return Starlette(routes=[WebSocketRoute("/ws", latency, middleware=KEEPALIVE)])


def around_a_mount() -> Starlette:
    routes = [WebSocketRoute("/ws", latency)]
    return Starlette(routes=[Mount("/", routes=routes, middleware=KEEPALIVE)])


class TestStarlettesTestClient:
    @pytest.mark.parametrize("make", [in_fastapi, around_a_route, around_a_mount])
    def test_all(self, make: Any) -> None:
        app = make()
        peer = Peer(app)
        client = TestClient(peer)
        with client.websocket_connect("/ws") as websocket:
            peer.pong_after(0.25)
            websocket.send_text("a")
            assert websocket.receive_text() == "a: 0.25"
            peer.time_out()
            with pytest.raises(StarletteDisconnect) as raised:
                websocket.receive_text()
            assert (raised.value.code, raised.value.reason) == (1011, "keepalive ping timeout")
        assert app.state.gone == (1011, True)
        with client.websocket_connect("/ws") as websocket:
            peer.freeze()
            websocket.send_text("a")
            peer.time_out()
            with pytest.raises(StarletteDisconnect):
                websocket.receive_text()
        assert app.state.gone == (1006, True)  # which Starlette makes of a `send` that failed

    @pytest.mark.parametrize("documented", PUBLIC, ids=lambda one: getattr(one, "__name__", ""))
    def test_examples_in_docstrings(self, documented: Any) -> None:
        text = f"{inspect.getdoc(documented)}\n"
        example = re.search(r"Example::\n\n((?: +.*\n|\n)*)", text)
        assert example
        app = in_fastapi()
        peer = Peer(app)
        names: dict[str, Any] = {
            "Peer": Peer,
            "TestClient": TestClient,
            "app": app,
            "peer": peer,
            "pytest": pytest,
        }
        names["WebSocketDisconnect"] = StarletteDisconnect
        with TestClient(peer).websocket_connect("/ws"):
            exec(textwrap.dedent(example[1]), names)
        if documented is testing:
            names["test_timeout"]()

    def test_errors_come_to_the_thread_of_the_test(self) -> None:
        app = FastAPI()
        app.add_middleware(KeepaliveMiddleware, ping_timeout=None)
        app.add_api_websocket_route("/ws", latency)
        peer = Peer(app)
        with (
            TestClient(peer).websocket_connect("/ws"),
            pytest.raises(RuntimeError, match=r"nothing times out on .*ping_timeout is None$"),
        ):
            peer.time_out()

    def test_on_trio(self) -> None:
        client = TestClient(Peer(in_fastapi()), backend="trio")
        with (
            pytest.raises(RuntimeError, match=r"^a Peer works on an event loop of asyncio's only"),
            client.websocket_connect("/ws"),
        ):
            pass

    def test_observers_are_called_in_the_thread_of_the_application(self) -> None:
        class Noting(Observer):
            def __init__(self, scope: Any) -> None:
                self.opened_in = threading.get_ident()

            def failed(self, verdict: Verdict) -> None:
                assert threading.get_ident() == self.opened_in
                noted.append(verdict)

        noted: list[Verdict] = []
        app = FastAPI()
        app.add_middleware(KeepaliveMiddleware, observers=[Noting])
        app.add_api_websocket_route("/ws", latency)
        peer = Peer(app)
        with TestClient(peer).websocket_connect("/ws"):
            peer.time_out()
        assert len(noted) == 1

    def test_http_and_lifespan_are_untouched(self) -> None:
        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            app.state.has_started = True
            yield

        def hello(request: Any) -> PlainTextResponse:
            return PlainTextResponse(str(request.app.state.has_started))

        app = Starlette(routes=[Route("/", hello)], lifespan=lifespan)
        with TestClient(Peer(app)) as client:
            assert client.get("/").text == "True"


@contextlib.asynccontextmanager
async def httpx_ws(peer: Peer) -> AsyncIterator[AsyncWebSocketSession]:
    websocket: AsyncWebSocketSession
    async with (
        httpx.AsyncClient(transport=ASGIWebSocketTransport(peer)) as client,
        aconnect_ws("http://testserver/ws", client) as websocket,
    ):
        yield websocket


@pytest.mark.anyio
class TestHttpxWs:
    async def test_latency_and_timeout(self) -> None:
        app = in_fastapi()
        peer = Peer(app)
        async with httpx_ws(peer) as websocket:
            peer.pong_after(0.25)
            await websocket.send_text("a")
            assert await websocket.receive_text() == "a: 0.25"
            peer.time_out()
            with pytest.raises(WebSocketDisconnect) as raised:
                await websocket.receive_text()
            assert (raised.value.code, raised.value.reason) == (1011, "keepalive ping timeout")
        assert app.state.gone == (1011, True)

    async def test_frozen(self) -> None:
        app = in_fastapi()
        peer = Peer(app)
        async with httpx_ws(peer) as websocket:
            peer.freeze()
            await websocket.send_text("a")
            peer.time_out()
            with pytest.raises(WebSocketDisconnect):
                await websocket.receive_text()
        assert app.state.gone == (1006, True)


def channels_app() -> Any:
    # mypy knows the examples as scripts, not as modules.
    return importlib.import_module("examples.channels_app").app


@pytest.mark.anyio
class TestChannelsCommunicator:
    async def test_latency_and_timeout(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        peer = Peer(channels_app())
        communicator = WebsocketCommunicator(peer, "/ws")
        assert (await communicator.connect())[0]
        peer.pong_after(0.25)
        await communicator.send_json_to("a")
        assert await communicator.receive_json_from() == {"echo": "a", "latency": 0.25}
        peer.time_out()
        assert (await communicator.receive_output())["code"] == 1011
        await communicator.wait()
        assert "gone (1011)" in caplog.messages

    async def test_frozen(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        peer = Peer(channels_app())
        communicator = WebsocketCommunicator(peer, "/ws")
        assert (await communicator.connect())[0]
        peer.freeze()
        await communicator.send_json_to("a")
        assert await communicator.receive_nothing(timeout=0.02)
        peer.time_out()
        await communicator.wait()
        assert "gone (1011)" in caplog.messages
