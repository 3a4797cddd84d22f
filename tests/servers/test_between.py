"""A server is found through whatever wraps its `receive` and `send`, which sees all events."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout, get_keepalive

from ..conftest import Reports
from ..support.applications import accept, stream
from ..support.client import CLOSE, PING, TEXT, Client, close_code
from ..support.server import Server, freed, logged, running
from ..support.serving import serving
from ..support.timeouts import CLOSE_TIMEOUT, FAILED, INTERVAL, TIMEOUT


class Between:
    """Runs an application on what wraps `receive`, `send` or both, and notes what passes."""

    def __init__(self, app: Any, wrapped: str) -> None:
        self.app = KeepaliveMiddleware(
            app, ping_interval=INTERVAL, ping_timeout=TIMEOUT, close_timeout=CLOSE_TIMEOUT
        )
        self.seen: list[Any] = []
        self.wrapped = wrapped

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def inner_receive() -> Any:
            event = await receive()
            self.seen.append(event)
            return event

        async def inner_send(event: Any) -> None:
            self.seen.append(event)
            await send(event)

        await self.app(
            scope,
            inner_receive if "receive" in self.wrapped else receive,
            inner_send if "send" in self.wrapped else send,
        )


@pytest.fixture(params=["asyncio"])
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["receive"])
def wrapped(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def served(between: Between, ws: str, loop: str) -> Server:
    return serving(between, ws=ws, loop=loop)


def kinds(between: Between) -> list[str]:
    return [event["type"].removeprefix("websocket.") for event in between.seen]


def test_silent_client(ws: str, loop: str, wrapped: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "text": (await receive())["text"]})
        reports.put([get_keepalive(scope).supported, await receive(), await receive()])

    between = Between(app, wrapped)
    with running(served(between, ws, loop)) as server:
        with Client(server.port).open() as client:
            client.send(TEXT, b"hello")
            assert client.answer_until(TEXT) == b"hello"
            client.expect(PING)
            assert reports.get() == [True, FAILED, FAILED]
            assert close_code(client.expect(CLOSE)) == (1011, "keepalive ping timeout")
        freed(server, client, 0)
        assert not server.complaints()
    if "receive" in wrapped and ws != "websockets":  # which lets go of its `receive`
        received = [kind for kind in kinds(between) if kind not in ("accept", "send")]
        assert received[:3] == ["connect", "receive", "disconnect"]
        assert between.seen[-1]["code"] == 1011
    if "send" in wrapped:
        assert [kind for kind in kinds(between) if kind in ("accept", "send")] == ["accept", "send"]


def test_frozen_client(ws: str, loop: str, wrapped: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(await stream(send))

    with (
        running(served(Between(app, wrapped), ws, loop)) as server,
        Client(server.port, receive_buffer=4096).open() as client,
    ):
        assert isinstance(reports.get(), KeepaliveTimeout)
        freed(server, client, CLOSE_TIMEOUT)
        assert not server.complaints()


def test_client_that_closes(ws: str, loop: str, wrapped: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(await receive())

    between = Between(app, wrapped)
    with running(served(between, ws, loop)) as server:
        with Client(server.port).open() as client:
            client.send(CLOSE, b"\x0f\xa1mine")
            assert reports.get()["code"] == 4001
            client.answer_until(CLOSE)
        freed(server, client, 0)
    if "receive" in wrapped:
        assert between.seen[-1]["code"] == 4001


def test_application_that_closes(ws: str, loop: str, wrapped: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close", "code": 4002})

    between = Between(app, wrapped)
    with running(served(between, ws, loop)) as server:
        with Client(server.port).open() as client:
            payload = client.answer_until(CLOSE)
            assert close_code(payload)[0] == 4002
            client.send(CLOSE, payload)
            assert client.until_end() == []
        freed(server, client, 0)
        assert not logged(server, "keepalive is off")
    if "send" in wrapped:
        assert kinds(between)[-1] == "close"
