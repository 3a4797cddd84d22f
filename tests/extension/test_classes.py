"""uvicorn's protocols by the classes here, which declare the extension in the scope themselves."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, get_keepalive

from ..conftest import Reports
from ..support.applications import accept, echo
from ..support.client import CLOSE, PING, PONG, TEXT, Client, close_code, frame
from ..support.server import running
from ..support.serving import serving
from .conftest import CLASSES


@pytest.fixture(params=CLASSES.values(), ids=list(CLASSES))
def ws(request: pytest.FixtureRequest) -> str:
    return str(request.param)


OWN = {"sansio": "websockets-sansio", "wsproto": "wsproto", "legacy": "websockets"}
"""uvicorn's names of its protocols."""


@pytest.fixture
def own(ws: str) -> str:
    [name] = [name for name, cls in CLASSES.items() if cls == ws]
    return OWN[name]


def test_uvicorns_own_keepalive_is_on_where_nobody_takes_over(
    ws: str, loop: str, reports: Reports
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put((await receive())["type"])

    server = serving(app, ws=ws, loop=loop, ws_ping_interval=0.1, ws_ping_timeout=0.1)
    with running(server), Client(server.port).open() as client:
        client.expect(PING)
        assert close_code(client.expect(CLOSE)) == (1011, "keepalive ping timeout")
        client.close()
        assert reports.get() == "websocket.disconnect"


class Seen:
    """What uvicorn runs with, and what an application and a client see of it."""

    def __init__(self, ws: str, loop: str) -> None:
        self.events: list[Any] = []
        self.types: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            protocol: Any = getattr(receive, "__self__", None)
            await accept(receive, send)
            self.types.append(type(protocol.transport).__name__)
            while (event := await receive())["type"] == "websocket.receive":
                self.events.append(event)
                await send({"type": "websocket.send", "text": event["text"]})
            self.events.append(event)

        with (
            running(serving(app, ws=ws, loop=loop)) as server,
            Client(server.port).open() as client,
        ):
            client.socket.sendall(frame(PING, b"p") + frame(TEXT, b"one") + frame(TEXT, b"two"))
            self.frames = [client.receive() for _ in range(3)]
            client.send(CLOSE, b"\x03\xe8bye")
            self.frames += client.until_end()
        assert server.complaints() == []


def test_connection_that_nobody_takes_over_is_as_uvicorns_own(ws: str, own: str, loop: str) -> None:
    plain, declaring = Seen(own, loop), Seen(ws, loop)
    assert vars(plain) == vars(declaring)
    assert "Bounded" not in declaring.types[0]


def test_reading_pauses_as_before_where_read_ahead_is_not_called(
    ws: str, own: str, loop: str, reports: Reports
) -> None:
    """However many messages uvicorn itself reads: as many with the class."""
    readable = []
    for protocol in own, ws:

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(0.3)
            reports.put("slept")
            while (await receive())["type"] == "websocket.receive":
                pass

        with (
            running(serving(app, ws=protocol, loop=loop)) as server,
            Client(server.port).open() as client,
        ):
            client.socket.sendall(frame(TEXT, b"unread") * 10)
            time.sleep(0.05)
            client.send(PING, b"answered only if it is read")
            client.socket.settimeout(0.15)
            try:
                client.expect(PONG)
            except TimeoutError:
                readable.append(False)
            else:
                readable.append(True)
            assert reports.get() == "slept"
            client.socket.settimeout(10)
            client.send(CLOSE, b"\x03\xe8")
            client.until_end()
    assert readable[0] == readable[1]


def test_middleware_that_is_kept_from_the_server_is_served(
    ws: str, loop: str, reports: Reports
) -> None:
    async def busy(scope: Any, receive: Any, send: Any) -> None:
        assert "websocket.ping" not in scope["extensions"]
        await accept(receive, send)
        await asyncio.sleep(1.2)  # an application may be behind for twice the timeout
        reports.put(get_keepalive(scope).timed_out)

    middleware = KeepaliveMiddleware(busy, ping_interval=0.2, ping_timeout=0.3, close_timeout=0.5)

    with (
        running(serving(hiding(middleware), ws=ws, loop=loop)) as server,
        Client(server.port).open() as client,
    ):
        client.socket.sendall(frame(TEXT, b"unread") * 40)
        client.expect(PING)
        assert reports.get() is True
        [record] = [r for r in server.records if "keepalive ping timeout" in r.getMessage()]
        assert "application behind" in record.getMessage()


def test_middleware_that_is_kept_from_the_server_measures_latency(
    ws: str, loop: str, reports: Reports
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(await get_keepalive(scope).ping())
        reports.put(await receive())

    middleware = KeepaliveMiddleware(app, ping_interval=None)
    with (
        running(serving(hiding(middleware), ws=ws, loop=loop)) as server,
        Client(server.port).open() as client,
    ):
        client.send(PONG, client.expect(PING))
        assert 0 < reports.get() < 5
        client.send(TEXT, b"hello")
        assert reports.get()["text"] == "hello"
    assert server.complaints() == []


def hiding(app: Any) -> Any:
    """Wrap an application so that nothing leads to the server."""

    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        async def hidden_receive() -> Any:
            return await receive()

        async def hidden_send(event: Any) -> None:
            await send(event)

        await app(scope, hidden_receive, hidden_send)

    return wrapper


def test_two_connections_are_joined_apart(ws: str, loop: str) -> None:
    app = KeepaliveMiddleware(echo, ping_interval=0.05, ping_timeout=5)
    with (
        running(serving(app, ws=ws, loop=loop)) as server,
        Client(server.port).open() as one,
        Client(server.port).open() as other,
    ):
        for client, text in (one, b"one"), (other, b"other"):
            client.send(TEXT, text)
            assert client.answer_until(TEXT) == text
