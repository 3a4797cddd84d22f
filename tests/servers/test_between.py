"""A server is found through whatever wraps its `receive` and `send`, which sees all events."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout, get_keepalive

from ..conftest import Reports
from ..support.applications import accept, echo, stream
from ..support.client import CLOSE, PING, TEXT, Client, close_code
from ..support.server import freed, logged, running
from ..support.serving import serving
from ..support.timeouts import CLOSE_TIMEOUT, FAILED, INTERVAL, TIMEOUT


class Between:
    """Runs an application on what wraps `receive`, `send` or both, and notes what passes."""

    def __init__(self, app: Any, wrapped: str = "receive and send") -> None:
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


def kinds(between: Between) -> list[str]:
    return [event["type"].removeprefix("websocket.") for event in between.seen]


@pytest.mark.parametrize("wrapped", ["receive", "send", "receive and send"])
def test_silent_client(ws: str, loop: str, wrapped: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "text": (await receive())["text"]})
        reports.put([get_keepalive(scope).supported, await receive(), await receive()])

    between = Between(app, wrapped)
    with running(serving(between, ws=ws, loop=loop)) as server:
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


def test_frozen_client(ws: str, loop: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(await stream(send))

    with (
        running(serving(Between(app), ws=ws, loop=loop)) as server,
        Client(server.port, receive_buffer=4096).open() as client,
    ):
        assert isinstance(reports.get(), KeepaliveTimeout)
        freed(server, client, CLOSE_TIMEOUT)
        assert not server.complaints()


def test_client_that_closes(ws: str, loop: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(await receive())

    between = Between(app)
    with running(serving(between, ws=ws, loop=loop)) as server:
        with Client(server.port).open() as client:
            client.send(CLOSE, b"\x0f\xa1mine")
            assert reports.get()["code"] == 4001
            client.answer_until(CLOSE)
        freed(server, client, 0)
    assert between.seen[-1]["code"] == 4001


def test_application_that_closes(ws: str, loop: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close", "code": 4002})

    between = Between(app)
    with running(serving(between, ws=ws, loop=loop)) as server:
        with Client(server.port).open() as client:
            payload = client.answer_until(CLOSE)
            assert close_code(payload)[0] == 4002
            client.send(CLOSE, payload)
            assert client.until_end() == []
        freed(server, client, 0)
        assert not logged(server, "keepalive is off")
    assert kinds(between)[-1] == "close"


def test_application_in_a_task_of_its_own(ws: str, loop: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        reports.put(get_keepalive(scope).supported)
        await accept(receive, send)

    async def in_a_task(scope: Any, receive: Any, send: Any) -> None:
        async def inner_send(event: Any) -> None:
            await send(event)

        await asyncio.create_task(KeepaliveMiddleware(app)(scope, lambda: receive(), inner_send))

    with running(serving(in_a_task, ws=ws, loop=loop)) as server, Client(server.port).open():
        assert reports.get() is True


class Pump:
    """Passes on what is sent, in a task of its own: what it gives an application leads nowhere."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def pump() -> None:
            while True:
                await send(await sent.get())

        sent: asyncio.Queue[Any] = asyncio.Queue()
        task = asyncio.create_task(pump())

        async def inner_send(event: Any) -> None:
            await sent.put(event)

        try:
            await self.app(scope, receive, inner_send)
        finally:
            task.cancel()


def test_what_leads_nowhere_is_named(ws: str, loop: str, reports: Reports) -> None:
    """P10."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reports.put(get_keepalive(scope).supported)
        await echo(scope, receive, send)

    pump = Pump(KeepaliveMiddleware(app))
    with running(serving(pump, ws=ws, loop=loop)) as server:
        for _ in range(2):
            with Client(server.port).open() as client:
                assert reports.get() is False
                client.send(TEXT, b"hello")
                assert client.expect(TEXT) == b"hello"
                client.send(CLOSE, b"\x03\xe8")
                client.until_end()
        [warning] = logged(server, "keepalive is off")
        assert f"it is hidden by {__name__}.Pump: " in warning.getMessage()


def test_application_that_is_called_for_another_purpose(
    ws: str, loop: str, reports: Reports
) -> None:
    """Its connection is not the server's, though the server's task runs it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reports.put(get_keepalive(scope).supported)
        await accept(receive, send)
        await send({"type": "websocket.close"})

    inner = KeepaliveMiddleware(app)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        async def connect() -> Any:
            return {"type": "websocket.connect"}

        async def told(event: Any) -> None:
            await send({"type": "websocket.send", "text": event["type"]})

        async def received() -> Any:
            await receive()
            return {"type": "websocket.connect"}

        communicator: Any = ApplicationCommunicator(inner, dict(scope))  # type: ignore[no-untyped-call]
        await communicator.send_input({"type": "websocket.connect"})
        assert await communicator.receive_output() == {"type": "websocket.accept"}
        await communicator.wait()
        await accept(receive, send)
        await inner(dict(scope), connect, told)
        await inner(dict(scope), received, told)  # one connection inside another

    with (
        running(serving(outer, ws=ws, loop=loop)) as server,
        Client(server.port).open() as client,
    ):
        client.send(TEXT, b"connect")
        texts = [client.expect(TEXT) for _ in range(4)]
        assert texts == 2 * [b"websocket.accept", b"websocket.close"]
        assert [reports.get() for _ in range(3)] == [False, False, False]


def test_what_receives_ahead_in_a_task(ws: str, loop: str, reports: Reports) -> None:
    """It waits already for the second event when the server is found from `send`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)
        reports.put(get_keepalive(scope).timed_out)

    middleware = KeepaliveMiddleware(app, ping_interval=INTERVAL, ping_timeout=TIMEOUT)

    async def ahead(scope: Any, receive: Any, send: Any) -> None:
        async def read() -> None:
            while (event := await receive())["type"] != "websocket.disconnect":
                await received.put(event)
            await received.put(event)

        received: asyncio.Queue[Any] = asyncio.Queue()
        reading = asyncio.create_task(read())
        received.put_nowait(await received.get())  # now it waits for the second one
        await middleware(scope, received.get, send)
        await reading

    with running(serving(ahead, ws=ws, loop=loop)) as server:
        with Client(server.port).open() as client:
            client.send(TEXT, b"hello")
            assert client.answer_until(TEXT) == b"hello"
            client.expect(PING)
            assert reports.get() is True
        freed(server, client, 0)
        assert not server.complaints()
