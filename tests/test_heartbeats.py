"""Heartbeats for a page that asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from asgi_keepalive import Keepalive, KeepaliveMiddleware, KeepaliveTimeout, get_keepalive
from asgi_keepalive.browser.heartbeats import heartbeat, take_nonce
from asgi_keepalive.settings import Settings

from .conftest import Reports, Serve
from .support.applications import accept, echo
from .support.asking import ASKING, NONCE, LaxServer, next_heartbeat
from .support.client import BINARY, CLOSE, TEXT, Client, close_code
from .support.fake_loop import FakeServer, accepted, in_no_time, ticks
from .support.server import freed, running, wait_until
from .support.serving import serving
from .support.timeouts import FAILED

VECTORS = json.loads((Path(__file__).parent / "browser" / "vectors.json").read_text())


class TestVectors:
    @pytest.mark.parametrize("vector", VECTORS["questions"], ids=lambda vector: vector["query"])
    def test_question(self, vector: dict[str, Any]) -> None:
        asked = {"type": "websocket", "query_string": vector["query"].encode()}
        before = asked.copy()
        nonce, scope = take_nonce(asked)
        assert nonce == vector["nonce"]
        assert scope == {**before, "query_string": vector["rest"].encode()}
        assert asked == before

    @pytest.mark.parametrize("vector", VECTORS["heartbeats"], ids=lambda vector: vector["text"])
    def test_heartbeat(self, vector: dict[str, Any]) -> None:
        keepalive = Keepalive(Settings(vector["interval"], vector["timeout"], 10))
        keepalive._round_trips.latency = vector["latency"]
        keepalive._reconnect_after = vector.get("reconnectAfter")
        assert heartbeat(vector["nonce"], keepalive) == vector["text"]

    def test_scope_without_a_query_string(self) -> None:
        scope = {"type": "websocket"}
        assert take_nonce(scope) == (None, scope)


class TestHeartbeats:
    def test_for_a_page_that_asks(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            reports.put(scope["query_string"])
            await accept(receive, send)
            reports.put(await receive())

        server = serve(app)
        with Client(server.port, path=ASKING).open() as client:
            began = time.monotonic()
            assert next_heartbeat(client) == {"interval": 0.2, "timeout": 0.3, "latency": None}
            assert time.monotonic() - began < 0.2
            told = [next_heartbeat(client) for _ in range(3)]
            assert time.monotonic() - began > 3 * 0.2 - 0.01
            assert 0 < told[-1]["latency"] < 0.3
            client.send(CLOSE, b"\x03\xe8")
            assert reports.get() == b"a=1&b"
            assert reports.get()["code"] == 1000  # and no message before
        freed(server, client, 0)

    def test_not_for_others(self, serve: Serve) -> None:
        server = serve(echo)
        with Client(server.port, path="/?asgi-keepalive=Chosen-by-a-link").open() as client:
            assert client.answer(1) == []

    def test_without_interval_one_says_so(self, serve: Serve) -> None:
        server = serve(echo, ping_interval=None)
        with Client(server.port, path=ASKING).open() as client:
            assert next_heartbeat(client)["interval"] is None
            assert client.answer(0.5) == []

    def test_not_before_accept_nor_after_close(self, serve: Serve) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await asyncio.sleep(0.2)
            await send({"type": "websocket.accept"})
            await asyncio.sleep(0.1)
            await send({"type": "websocket.close", "code": 4000})
            await asyncio.sleep(0.3)

        server = serve(app, ping_interval=0.05, ping_timeout=5)
        with Client(server.port, path=ASKING).open() as client:
            next_heartbeat(client)
            frames = client.until_end()
            assert [opcode for opcode, _ in frames].count(CLOSE) == 1
            assert frames[-1][0] == CLOSE

    def test_none_while_a_message_is_on_the_way(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await receive()
            for _ in range(20):
                await send({"type": "websocket.send", "bytes": bytes(500_000)})
            reports.put("sent")
            await receive()

        server = serve(app, ping_interval=0.05, ping_timeout=10)
        with Client(server.port, path=ASKING, receive_buffer=4096).open() as client:
            next_heartbeat(client)
            client.send(TEXT, b"go on")
            time.sleep(1)
            assert reports.empty()
            opcodes: list[int] = []
            while opcodes.count(BINARY) < 20:
                opcodes.append(client.receive()[0])
            assert opcodes.count(TEXT) < 5  # rather than twenty
            assert reports.get() == "sent"
            next_heartbeat(client)

    def test_silent_page(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put([await receive() for _ in range(2)])

        server = serve(app)
        with Client(server.port, path=ASKING).open() as client:
            assert reports.get() == [FAILED, FAILED]
            frames = client.until_end()
            assert close_code(frames[-1][1]) == (1011, "keepalive ping timeout")
        freed(server, client, 0.5)

    def test_nothing_is_left_of_a_frozen_page(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            with contextlib.suppress(KeepaliveTimeout):
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(65536)})
                    await asyncio.sleep(0)
            reports.put(get_keepalive(scope).timed_out)

        server = serve(app)
        own = server.run(lambda: len(asyncio.all_tasks(server.loop)))
        with Client(server.port, path=ASKING, receive_buffer=4096).open() as client:
            assert reports.get() is True
            freed(server, client, 0.5)
            wait_until(lambda: server.run(lambda: len(asyncio.all_tasks(server.loop))) == own)

    def test_two_middlewares(self, ws: str, loop: str, reports: Reports) -> None:
        inner = KeepaliveMiddleware(echo, ping_interval=0.1, ping_timeout=5)
        with (
            running(serving(KeepaliveMiddleware(inner), ws=ws, loop=loop)) as server,
            Client(server.port, path=ASKING).open() as client,
        ):
            told = [next_heartbeat(client) for _ in range(3)]
            assert {one["interval"] for one in told} == {0.1}

    def test_server_without_the_extension(self, ws: str, loop: str, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            reports.put(get_keepalive(scope).supported)
            await echo(scope, receive, send)

        middleware = KeepaliveMiddleware(app, ping_interval=0.1)

        async def hiding(scope: Any, receive: Any, send: Any) -> None:
            events: asyncio.Queue[Any] = asyncio.Queue()

            async def pass_on() -> None:
                event = None
                while event is None or event["type"] != "websocket.disconnect":
                    event = await receive()
                    await events.put(event)

            async def hidden_send(event: Any) -> None:
                await send(event)

            passing = asyncio.create_task(pass_on())
            try:
                await middleware(scope, events.get, hidden_send)
            finally:
                passing.cancel()

        with (
            running(serving(hiding, ws=ws, loop=loop, ws_ping_interval=20.0)) as server,
            Client(server.port, path=ASKING).open() as client,
        ):
            assert reports.get() is False
            assert [next_heartbeat(client)["latency"] for _ in range(3)] == [None] * 3
            client.send(BINARY, b"mine")
            assert client.answer_until(BINARY) == b"mine"


class TestWhen:
    @in_no_time
    async def test_at_once_and_then_at_every_interval(self) -> None:
        server = LaxServer()
        await asyncio.sleep(25)
        assert server.beats == [0, 10, 20]
        assert server.sent[0]["type"] == "websocket.accept"

    @in_no_time
    async def test_not_while_a_message_is_on_the_way(self) -> None:
        server = LaxServer()
        await asyncio.sleep(5)
        server.writable.clear()
        sending = asyncio.create_task(server.app.text("mine"))
        await asyncio.sleep(20)
        server.writable.set()
        await sending
        await asyncio.sleep(20)
        assert server.beats == [0, 30, 40]

    @in_no_time
    async def test_again_after_a_message_that_failed(self) -> None:
        server = LaxServer()
        await ticks()
        with pytest.raises(KeyError):
            await server.app.send({})
        await asyncio.sleep(15)
        assert server.beats == [0, 10]

    @in_no_time
    async def test_never_if_the_application_refuses(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.close"})

        query: dict[str, Any] = {"query_string": f"asgi-keepalive={NONCE}".encode()}
        server = FakeServer(KeepaliveMiddleware(app), **query)
        await server.task
        assert [event["type"] for event in server.sent] == ["websocket.close"]

    @in_no_time
    async def test_not_after_the_application_closes(self) -> None:
        server = LaxServer()
        await asyncio.sleep(5)
        await server.app.close()
        await asyncio.sleep(20)
        assert server.beats == [0]
        assert asyncio.all_tasks() == {asyncio.current_task(), server.task}

    @in_no_time
    async def test_not_after_the_disconnect(self) -> None:
        server = LaxServer()
        await asyncio.sleep(5)
        told = server.disconnect(1000)
        assert await server.app.receive() == told
        await asyncio.sleep(20)
        assert server.beats == [0]
        assert asyncio.all_tasks() == {asyncio.current_task(), server.task}

    @in_no_time
    async def test_not_after_the_application_returns(self) -> None:
        server = LaxServer()
        await asyncio.sleep(5)
        server.app.returns()
        await asyncio.sleep(20)
        assert server.beats == [0]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @in_no_time
    async def test_not_after_the_server_refuses_one(self) -> None:
        server, _ = await accepted(scope={"query_string": f"asgi-keepalive={NONCE}".encode()})
        server.disconnect(1006)  # and the application does not look
        await asyncio.sleep(25)
        assert [event["type"] for event in server.sent] == ["websocket.accept", "websocket.send"]
