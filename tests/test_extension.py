"""The extension as `docs/extension.md` specifies it, spoken to each protocol directly."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.servers import extend
from asgi_keepalive.servers.kernel import reset_on_close

from .conftest import PROTOCOLS, Reports
from .support.applications import accept
from .support.client import CLOSE, PING, PONG, TEXT, Client, close_code, frame
from .support.server import running
from .support.serving import serving


def ping(payload: bytes, pongs: list[Any]) -> dict[str, Any]:
    return {
        "type": "websocket.ping",
        "bytes": payload,
        "on_pong": lambda payload, time: pongs.append((payload, time)),
    }


def reset(client: Client) -> None:
    reset_on_close(client.socket)
    client.close()


FAIL = {"type": "websocket.close", "code": 4000, "reason": "why", "timeout": 0.5}


def test_ping_and_fail(ws: str, loop: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        extending = extend(scope, receive, send)
        assert not isinstance(extending, str)
        extended = extending.send
        pongs: list[Any] = []
        for event in ping(b"", pongs), FAIL:
            with pytest.raises(OSError, match="not open"):  # before accept
                await extended(event)
        await accept(extending.receive, extended, keepalive=False, close_timeout=0.5)
        with pytest.raises(Exception):  # noqa: B017, PT011 - each library has its own
            await extended(ping(bytes(126), pongs))
        await extended(ping(b"", pongs))
        await extended(ping(bytes(125), pongs))
        assert (await extending.receive())["type"] == "websocket.receive"
        assert extending.traffic()["unsent"] == 0
        reports.put(pongs.copy())
        await extended(FAIL)
        reports.put([await extending.receive() for _ in range(2)])
        # The deprecated protocol leaves what follows a Fail to the middleware to correct.
        assert extending.traffic() == {}  # nothing can be told any more
        with pytest.raises((OSError, RuntimeError) if ws == "websockets" else OSError):
            await extending.send_other({"type": "websocket.send", "text": "x"})
        for event in ping(b"", pongs), FAIL:
            with pytest.raises(OSError, match="not open"):
                await extended(event)
        reports.put(pongs)

    with running(serving(app, ws=ws, loop=loop)) as server, Client(server.port).open() as client:
        assert client.expect(PING) == b""
        assert client.expect(PING) == bytes(125)
        before = time.monotonic()
        client.send(PONG, b"unsolicited")
        client.send(PONG, bytes(125))
        client.socket.sendall(frame(TEXT, b"go on") + frame(TEXT, b"ready"))
        pongs = reports.get()
        assert [payload for payload, _ in pongs] == [b"unsolicited", bytes(125)]
        assert all(before <= time <= before + 1 for _, time in pongs)
        assert close_code(client.expect(CLOSE)) == (4000, "why")
        ready, disconnect = reports.get()
        assert ready["text"] == "ready"
        if ws != "websockets":
            assert (disconnect["code"], disconnect["reason"]) == (4000, "why")
        assert reports.get() == pongs  # and no None after a Fail


def test_servers_own_keepalive_hears_its_pongs(ws: str, loop: str, reports: Reports) -> None:
    """Unless accept turns it off."""
    pongs: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        extending = extend(scope, receive, send)
        assert not isinstance(extending, str)
        await accept(extending.receive, extending.send)
        await extending.send(ping(b"mine", pongs))
        reports.put(await extending.receive())

    # daphne looks every 2 s whether a Ping is due, and its timers know whole seconds.
    timeout, seconds, least = (2, 5, 1) if ws == "daphne" else (0.3, 1, 5)
    config: Any = {"ws_ping_interval": 0.1, "ws_ping_timeout": timeout}
    with (
        running(serving(app, ws=ws, loop=loop, **config)) as server,
        Client(server.port).open() as client,
    ):
        client.answer(seconds)
        client.send(TEXT, b"alive")
        assert reports.get()["text"] == "alive"
    assert pongs[0][0] == b"mine"
    assert len([payload for payload, _ in pongs if payload is not None]) > least


@pytest.mark.parametrize("first_ping", [True, False])
@pytest.mark.parametrize("end", ["application's close", "peer's close", "reset", "return"])
def test_callback_hears_of_the_end_once(
    ws: str, loop: str, reports: Reports, end: str, first_ping: bool
) -> None:
    """Whether it was registered with a Ping, or with the accept."""
    pongs: list[Any] = []

    def on_pong(payload: bytes | None, time: float) -> None:
        pongs.append((payload, time))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        extending = extend(scope, receive, send)
        assert not isinstance(extending, str)
        extended = extending.send
        if first_ping:
            await accept(extending.receive, extended)
            await extended(ping(b"first", []))
            await extended(ping(b"second", pongs))
        else:
            await accept(extending.receive, extended, on_pong=on_pong)
            await extending.send_other({"type": "websocket.send", "text": "go"})
        if end == "application's close":
            await extended({"type": "websocket.close"})
        elif end != "return":
            while (await extending.receive())["type"] == "websocket.receive":
                pass
        reports.put("returns")

    with running(serving(app, ws=ws, loop=loop)) as server:
        with Client(server.port).open() as client:
            client.expect(PING if first_ping else TEXT)
            if end == "peer's close":
                client.send(CLOSE, b"\x03\xe8")
            if end == "reset":
                reset(client)
            else:
                with suppress(ConnectionError):
                    client.answer(0.2)
        assert reports.get() == "returns"
    assert [payload for payload, _ in pongs if payload is None] == [None]


def test_callback_of_the_accept_hears_pongs_before_the_first_ping(
    ws: str, loop: str, reports: Reports
) -> None:
    def on_pong(payload: bytes | None, time: float) -> None:
        reports.put(payload)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        extending = extend(scope, receive, send)
        assert not isinstance(extending, str)
        await accept(extending.receive, extending.send, on_pong=on_pong, keepalive=False)
        await extending.receive()

    with running(serving(app, ws=ws, loop=loop)) as server, Client(server.port).open() as client:
        client.send(PONG, b"unsolicited")
        assert reports.get() == b"unsolicited"
        client.send(PONG, b"four")
        assert reports.get() == b"four"


@pytest.mark.parametrize("how", ["reset", "FIN", "close"])
def test_callback_of_an_accept_that_comes_too_late(
    ws: str, loop: str, reports: Reports, how: str
) -> None:
    """The peer has left before it."""
    if (ws, how) == ("wsproto", "close"):
        pytest.skip("the library keeps what comes before the accept until more comes")
    pongs: list[Any] = []
    left = threading.Event()

    def on_pong(payload: bytes | None, time: float) -> None:
        pongs.append(payload)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        extending = extend(scope, receive, send)
        assert not isinstance(extending, str)
        reports.put("connected")
        await asyncio.to_thread(left.wait)
        await asyncio.sleep(0.1)
        with suppress(OSError):  # which some raise
            await accept(extending.receive, extending.send, on_pong=on_pong)
        await asyncio.sleep(0.1)
        reports.put(pongs)

    with running(serving(app, ws=ws, loop=loop)) as server, Client(server.port) as client:
        assert reports.get() == "connected"
        if how == "reset":
            reset(client)
        elif how == "FIN":
            client.socket.shutdown(socket.SHUT_WR)
        else:
            client.send(CLOSE, b"\x03\xe8")
        left.set()
        assert reports.get() == [None]


CLASSES = {"websockets-sansio": "sansio", "wsproto": "wsproto", "websockets": "legacy"}


@pytest.fixture
def cls(ws: str) -> str:
    """The class for `--ws` that extends a protocol."""
    return f"asgi_keepalive.servers.uvicorn.{CLASSES[ws]}:KeepaliveProtocol"


@pytest.mark.parametrize("ws", PROTOCOLS)
def test_class_alone_changes_nothing(cls: str, loop: str, reports: Reports) -> None:
    """Without the middleware uvicorn's own keepalive is on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert set(scope["extensions"]["websocket.ping"]) == {"traffic"}
        await accept(receive, send)
        reports.put((await receive())["type"])

    server = serving(app, ws=cls, loop=loop, ws_ping_interval=0.1, ws_ping_timeout=0.1)
    with running(server), Client(server.port).open() as client:
        client.expect(PING)
        assert close_code(client.expect(CLOSE)) == (1011, "keepalive ping timeout")
        assert reports.get() == "websocket.disconnect"


@pytest.mark.parametrize("ws", PROTOCOLS)
def test_class_serves_a_middleware_that_is_kept_from_the_server(
    cls: str, loop: str, reports: Reports
) -> None:
    async def busy(scope: Any, receive: Any, send: Any) -> None:
        assert "websocket.ping" not in scope["extensions"]
        await accept(receive, send)
        await asyncio.sleep(1.2)  # an application may be behind for twice the timeout
        reports.put(get_keepalive(scope).timed_out)

    middleware = KeepaliveMiddleware(busy, ping_interval=0.2, ping_timeout=0.3, close_timeout=0.5)

    async def hiding(scope: Any, receive: Any, send: Any) -> None:
        async def hidden_receive() -> Any:
            return await receive()

        async def hidden_send(event: Any) -> None:
            await send(event)

        await middleware(scope, hidden_receive, hidden_send)

    with (
        running(serving(hiding, ws=cls, loop=loop)) as server,
        Client(server.port).open() as client,
    ):
        client.socket.sendall(frame(TEXT, b"unread") * 40)
        client.expect(PING)
        assert reports.get() is True
        [record] = [r for r in server.records if "keepalive ping timeout" in r.getMessage()]
        assert "application behind" in record.getMessage()
