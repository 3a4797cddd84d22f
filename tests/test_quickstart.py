"""The quickstart is a model to copy: on a server, and in every test client."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from channels.testing import WebsocketCommunicator  # type: ignore[import-untyped]
from httpx_ws import AsyncWebSocketSession, aconnect_ws
from httpx_ws.transport import ASGIWebSocketTransport
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from asgi_keepalive.testing import Peer

from .support.client import CLOSE, TEXT, Client
from .support.server import running, wait_until
from .support.serving import serving

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
QUICKSTARTS = [page for page in (README, ROOT / "docs" / "quickstart.md") if page.exists()]


def quickstart(page: Path) -> str:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    [block] = [one for one in blocks if "app = FastAPI()" in one]
    return str(block)


pytestmark = pytest.mark.skipif(
    not re.search("except WebSocketDisconnect|iter_text", quickstart(README)),
    reason="lets WebSocketDisconnect leave the handler",
)


@pytest.fixture(params=QUICKSTARTS, ids=lambda page: page.stem)
def app(request: pytest.FixtureRequest) -> Any:
    namespace: dict[str, Any] = {}
    exec(quickstart(request.param), namespace)
    return namespace["app"]


@pytest.fixture(params=[False, True], ids=["without Pings", "with Pings"])
def tested(request: pytest.FixtureRequest, app: Any) -> Any:
    """What a test client gets: the application, or a `Peer`."""
    return Peer(app) if request.param else app


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Nothing is printed, and the log has one warning at most: that there are no Pings."""
    yield
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) <= 1
    for warning in warnings:
        assert warning.getMessage().startswith("keepalive is off")
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "vanishes"])
def test_on_uvicorn(app: Any, leaves: bool) -> None:
    with running(serving(app, loop="asyncio", ws="auto")) as server:
        with Client(server.port, path="/ws").open() as client:
            client.send(TEXT, b"hello")
            assert b"hello" in client.answer_until(TEXT)
            if leaves:
                client.send(CLOSE, b"\x03\xe8")
                client.expect(CLOSE)
        wait_until(lambda: server.connections() == 0)
    assert server.complaints() == []


def test_in_starlettes_test_client(tested: Any) -> None:
    with TestClient(tested).websocket_connect("/ws") as websocket:
        websocket.send_text("hello")
        assert "hello" in websocket.receive_text()


def test_timeout(app: Any, capfd: pytest.CaptureFixture[str]) -> None:
    peer = Peer(app)
    with TestClient(peer).websocket_connect("/ws") as websocket:
        peer.time_out()
        with pytest.raises(WebSocketDisconnect) as raised:
            websocket.receive_text()
        assert raised.value.code == 1011
    assert "silent" in capfd.readouterr().out


@pytest.mark.anyio
async def test_in_httpx_ws(tested: Any) -> None:
    websocket: AsyncWebSocketSession
    async with (
        httpx.AsyncClient(transport=ASGIWebSocketTransport(tested)) as client,
        aconnect_ws("http://testserver/ws", client) as websocket,
    ):
        await websocket.send_text("hello")
        assert "hello" in await websocket.receive_text()


@pytest.mark.anyio
async def test_in_the_communicator_of_channels(tested: Any) -> None:
    communicator = WebsocketCommunicator(tested, "/ws")
    assert (await communicator.connect())[0]
    await communicator.send_to("hello")
    assert "hello" in await communicator.receive_from()
    await communicator.disconnect()
