"""An application whose calls need never wait leaves the event loop to others all the same."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from unittest import mock

import pytest

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.endpoint.kernel import reset_on_close
from asgi_keepalive.stall import INTERVAL

from .conftest import Reports, Serve
from .support.applications import accept
from .support.client import PING, PONG, TEXT, Client
from .support.fake_loop import FakeServer, accepted, elapsed, fake_loop, in_no_time, ticks

CALL = 0.001
"""Seconds that each call takes here."""


async def longest_wait(call: Callable[[], Awaitable[Any]], calls: int = 500) -> float:
    """Make calls that need not wait, whatever they raise; return how long others have waited."""

    async def work() -> None:
        for _ in range(calls):
            fake_loop().stall(CALL)
            with suppress(Exception):
                await call()

    working = asyncio.ensure_future(work())
    turns = [elapsed()]
    while not working.done():
        await asyncio.sleep(0)
        turns.append(elapsed())
    assert turns[-1] - turns[0] >= calls * CALL
    return max(after - before for before, after in itertools.pairwise(turns))


class TestCallThatNeverWaits:
    """The server is one whose calls end at once."""

    async def leaves_the_loop_to_others(self, call: Callable[[], Awaitable[Any]]) -> None:
        assert await longest_wait(call) < INTERVAL + 2 * CALL

    @pytest.mark.parametrize("settings", [{}, {"ping_interval": None}], ids=str)
    @in_no_time
    async def test_send(self, settings: dict[str, Any]) -> None:
        server, app = await accepted(**settings)
        await self.leaves_the_loop_to_others(lambda: app.text("x"))
        assert len(server.sent) == 1 + 500

    @in_no_time
    async def test_send_that_raises(self) -> None:
        _, app = await accepted()
        await self.leaves_the_loop_to_others(lambda: app.send({}))

    @in_no_time
    async def test_receive(self) -> None:
        server, app = await accepted()
        for number in range(500):
            server.text(str(number))
        await self.leaves_the_loop_to_others(app.receive)
        assert server.incoming.empty()

    @pytest.mark.parametrize("call", ["receive", "send", "ping"])
    @in_no_time
    async def test_after_a_failure(self, call: str) -> None:
        _, app = await accepted(ping_interval=20, ping_timeout=10)
        await app.receive()
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "receive": app.receive,
            "send": lambda: app.text("x"),
            "ping": app.keepalive.ping,
        }
        await self.leaves_the_loop_to_others(calls[call])

    @pytest.mark.parametrize("call", ["send", "ping"])
    @in_no_time
    async def test_after_the_applications_close(self, call: str) -> None:
        _, app = await accepted()
        await app.close()
        await self.leaves_the_loop_to_others(
            app.keepalive.ping if call == "ping" else lambda: app.text("x")
        )

    @in_no_time
    async def test_refused_ping(self) -> None:
        def refuse() -> None:
            raise RuntimeError

        server, app = await accepted(ping_interval=None)
        server.on_ping = refuse
        await self.leaves_the_loop_to_others(app.keepalive.ping)

    @in_no_time
    async def test_denial(self) -> None:
        body = {"type": "websocket.http.response.body", "body": b"x", "more_body": True}

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
            await self.leaves_the_loop_to_others(lambda: send(body))

        await FakeServer(KeepaliveMiddleware(app)).task


@in_no_time
async def test_one_connection_is_enough_to_let_the_loop_turn() -> None:
    """Where thousands are ready at once each would otherwise have to wait for it."""
    connections = [await accepted() for _ in range(10)]

    async def stall() -> None:
        await connections[0][1].text("x")
        fake_loop().stall(1)

    stalling = asyncio.ensure_future(stall())
    sending = [asyncio.ensure_future(app.text("x")) for _, app in connections]
    await asyncio.sleep(0)
    assert sum(not task.done() for task in sending) == 1
    await ticks(10)
    assert all(task.done() for task in (stalling, *sending))


@in_no_time
async def test_loop_that_turns_by_itself_is_left_alone() -> None:
    """A message now and then does not wait."""
    _, app = await accepted()
    for _ in range(10):
        await asyncio.sleep(1)
        sending = asyncio.ensure_future(app.text("x"))
        await asyncio.sleep(0)
        assert sending.done()


@in_no_time
async def test_loop_is_asked_seldom_whether_it_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    call_soon = mock.Mock(wraps=fake_loop().call_soon)
    server, app = await accepted()
    monkeypatch.setattr(fake_loop(), "call_soon", call_soon)
    for number in range(100):
        server.text("x")
        await app.receive()
        await app.text("x")
        if not number % 10:
            fake_loop().stall(INTERVAL / 5)
            await asyncio.sleep(0)
    asked = [call for call in call_soon.mock_calls if "_turned" in str(call)]
    assert 0 < len(asked) <= 5


@in_no_time
async def test_messages_keep_their_order() -> None:
    """Those of several tasks, while the loop is late."""
    server, app = await accepted()

    async def late(number: int) -> None:
        fake_loop().stall(0.6 * INTERVAL)
        await app.text(str(number))

    await asyncio.gather(*map(late, range(20)))
    assert [event["text"] for event in server.sent[1:]] == [str(number) for number in range(20)]


@in_no_time
async def test_message_is_on_its_way_before_others_are_let_go_first() -> None:
    server, app = await accepted()

    async def send() -> None:
        await app.text("first")
        fake_loop().stall(1)
        await app.text("x")

    sending = asyncio.ensure_future(send())
    await asyncio.sleep(0)
    sending.cancel()
    await ticks()
    assert sending.cancelled()
    assert server.sent[-1]["text"] == "x"


@pytest.mark.parametrize(
    "message",
    [{"bytes": bytes(65536)}, {"text": "x"}, {"bytes": bytes(2**20 - 100)}],
    ids=["64 KiB", "text", "1 MiB"],
)
def test_peer_that_resets_stops_nobody(
    serve: Serve, ws: str, reports: Reports, message: dict[str, Any]
) -> None:
    """`send` neither waits nor raises then, until the event loop has turned."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        if scope["path"] == "/echo":
            await send({"type": "websocket.send", "text": (await receive())["text"]})
            return
        try:
            while True:
                await send({"type": "websocket.send", **message})
        except OSError:
            reports.put("told")
            raise

    server = serve(app)
    for number in range(6):
        client = Client(server.port, path="/stream", receive_buffer=4096)
        if number % 2 or ws == "hypercorn":  # which tells nothing of one that leaves before
            client.open()
        reset_on_close(client.socket)
        client.close()
        assert echoes(server.port)
    for _ in range(6):
        assert reports.get() == "told"


def echoes(port: int) -> bool:
    with Client(port, path="/echo").open() as client:
        client.send(TEXT, b"hello")
        while (received := client.receive())[0] == PING:  # on a slow machine
            client.send(PONG, received[1])
        return received == (TEXT, b"hello")


def test_peer_that_takes_everything_stops_nobody(serve: Serve) -> None:
    """A stream to a client that is quick enough is never held up."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        if scope["path"] == "/echo":
            await send({"type": "websocket.send", "text": (await receive())["text"]})
            return
        with suppress(OSError):
            while True:
                await send({"type": "websocket.send", "text": "x"})

    def read(client: Client) -> None:
        with suppress(OSError):
            while client.socket.recv(2**20):
                pass

    server = serve(app, ping_interval=None)
    with Client(server.port, path="/stream").open() as client:
        reading = threading.Thread(target=read, args=[client])
        reading.start()
        time.sleep(0.2)
        assert echoes(server.port)
        assert echoes(server.port)
        client.socket.shutdown(socket.SHUT_RDWR)
        reading.join()
