"""What only gunicorn's own worker does: its closes, and where it is left alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from gunicorn.asgi.websocket import WebSocketProtocol  # type: ignore[import-untyped]

from asgi_keepalive import KeepaliveMiddleware, extension, get_keepalive, servers
from asgi_keepalive.endpoint.kernel import reset_on_close
from asgi_keepalive.servers.gunicorn import TOUCHED, WORKERS, attach, own

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, close_code, frame
from ..support.server import freed, running
from ..support.serving import Gunicorn
from ..support.timeouts import CLOSE_TIMEOUT, LATE

LONG = frame(TEXT, b"x" * 300)
FRAGMENTS = frame(TEXT, b"half", fin=False) + frame(PING) + frame(0, b"half")
MANY = frame(TEXT, b"x") * 40


@pytest.fixture
def ws() -> str:
    return "gunicorn"


class TestCloses:
    def test_unanswered_one_returns_with_the_connection(
        self, serve: Serve, reports: Reports
    ) -> None:
        """By itself it waits 5 s for the answer, and the application is cancelled after 3."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            began = time.monotonic()
            await send({"type": "websocket.close", "code": 4000})
            reports.put(time.monotonic() - began)
            reports.put((await receive())["code"])

        server = serve(app)
        with Client(server.port).open() as client:
            assert close_code(client.expect(CLOSE))[0] == 4000
            assert CLOSE_TIMEOUT <= reports.get() < CLOSE_TIMEOUT + LATE
            assert reports.get() == 1006
        freed(server, client, 0)

    def test_answer_without_a_code(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())

        server = serve(app)
        with Client(server.port).open() as client:
            client.send(CLOSE)
            assert client.until_end() == [(CLOSE, b"\x03\xe8")]  # as by itself
        event = {"type": "websocket.disconnect", "code": 1005, "reason": ""}
        assert reports.get() == event

    def test_application_that_returns(self, serve: Serve) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)

        server = serve(app)
        with Client(server.port).open() as client:
            assert close_code(client.expect(CLOSE)) == (1011, "Application error")
            freed(server, client, CLOSE_TIMEOUT)

    @pytest.mark.parametrize("bound", [1000, 0], ids=["bounded", "unbounded"])
    def test_largest_message(self, serve: Serve, reports: Reports, bound: int) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            event = await receive()
            reports.put(len(event.get("bytes", b"")))

        server = serve(app, websocket_max_message_size=bound)
        with Client(server.port).open() as client:
            client.send(BINARY, bytes(2000))
            assert reports.get() == (0 if bound else 2000)
            assert close_code(client.expect(CLOSE))[0] == (1009 if bound else 1011)


class TestLate:
    """Something outside the middleware takes its time, or has accepted."""

    @pytest.mark.parametrize("resets", [False, True])
    def test_client_that_has_left(self, loop: str, reports: Reports, resets: bool) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert get_keepalive(scope).supported
            await accept(receive, send)
            with pytest.raises(OSError, match="WebSocket"):
                await send({"type": "websocket.send", "text": "too late"})
            reports.put((await receive())["code"])
            await send({"type": "websocket.close"})

        middleware = KeepaliveMiddleware(app)

        async def late(scope: Any, receive: Any, send: Any) -> None:
            reports.put("connected")
            while not send.__self__.closed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await middleware(scope, receive, send)
            reports.put(len(server._worker._shutdown.connections))

        server = Gunicorn(late, loop=loop)
        with running(server):
            with Client(server.port) as client:
                assert reports.get() == "connected"
                if resets:
                    reset_on_close(client.socket)
            assert reports.get() == 1006
            assert reports.get() == 0
            freed(server, client, 0)
            assert server.complaints() == []

    @pytest.mark.parametrize(
        ("sent", "cut", "text"),
        [
            (b"", 0, ""),
            (LONG, 2, "x" * 300),  # it waits for as many bytes as at the head of a frame
            (frame(TEXT, b"hi"), 6, "hi"),
            (frame(TEXT, b"x" * 70_000), 60_000, "x" * 70_000),
            (FRAGMENTS, 10, "half" * 2),
            (MANY, len(MANY), "x" * 40),
        ],
        ids=["nothing", "length", "payload", "long", "message", "many"],
    )
    def test_inside_a_connection_that_is_accepted(
        self, loop: str, reports: Reports, sent: bytes, cut: int, text: str
    ) -> None:
        """What gunicorn's own parser has begun it ends, and only then the reader begins."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await fed(send.__self__, cut)
            side = servers.find(scope, receive, send)
            assert isinstance(side, extension.Server)
            side.extension["take_over"](lambda payload, time: reports.put(payload), lambda: None)
            reports.put("begun")
            received = ""
            while not received.endswith("end"):
                received += (await side.receive())["text"]
            reports.put(received)
            side.extension["ping"](b"mine")
            await side.receive()

        server = Gunicorn(app, loop=loop)
        with running(server), Client(server.port).open() as client:
            client.socket.sendall(sent[:cut])
            assert reports.get() == "begun"
            client.socket.sendall(sent[cut:] + frame(TEXT, b"end"))
            assert reports.get() == text + "end"
            while (found := client.receive()) == (PONG, b""):
                pass
            assert found == (PING, b"mine")
            client.send(PONG, b"mine")
            assert reports.get() == b"mine"  # gunicorn's own parser drops it
            client.send(CLOSE, b"\x03\xe8")
            assert client.expect(CLOSE) == b"\x03\xe8"


async def fed(protocol: Any, size: int) -> None:
    """Return once gunicorn's parser has had so many bytes."""
    arrived, feed_data = asyncio.Event(), protocol.feed_data
    came = len(protocol._buffer)

    def feed(data: bytes) -> None:
        nonlocal came
        feed_data(data)
        came += len(data)
        if came >= size:
            arrived.set()

    protocol.feed_data = feed
    if came < size:
        await arrived.wait()
    for _ in range(5):
        await asyncio.sleep(0)


def test_wrapped_receive_sees_the_events(loop: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await receive()

    middleware = KeepaliveMiddleware(app, ping_interval=0.05, ping_timeout=0.1, close_timeout=0.1)

    async def wrapping(scope: Any, receive: Any, send: Any) -> None:
        async def wrapped() -> Any:
            event = await receive()
            reports.put(event["type"])
            return event

        await middleware(scope, wrapped, send)

    server = Gunicorn(wrapping, loop=loop)
    with running(server), Client(server.port).open() as client:
        assert reports.get() == "websocket.connect"
        assert client.until_end()[-1] == (CLOSE, b"\x03\xf3keepalive ping timeout")
        freed(server, client, 0.1)


def test_application_in_a_task_of_its_own_is_found_without_a_search(
    loop: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands may connect at once, and a look at all tasks takes longer with each."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reports.put(get_keepalive(scope).supported)

    async def in_a_task(scope: Any, receive: Any, send: Any) -> None:
        monkeypatch.delattr(asyncio, "all_tasks")
        await asyncio.create_task(KeepaliveMiddleware(app)(scope, receive, send))
        monkeypatch.undo()

    with running(Gunicorn(in_a_task, loop=loop)) as server, Client(server.port):
        assert reports.get() is True


@pytest.mark.parametrize("answer", ["accept", "close"])
def test_answered_handshake_is_known(loop: str, reports: Reports, answer: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        protocol = send.__self__
        before = own(protocol)
        await send({"type": f"websocket.{answer}"})
        after = own(protocol)
        assert before is not None
        assert after is not None
        reports.put((before.is_accepted, after.is_accepted))

    with running(Gunicorn(app, loop=loop)) as server, Client(server.port):
        assert reports.get() == (False, True)


class TestDeclines:
    """Where the inside is not what is expected."""

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda protocol, http: delattr(protocol, TOUCHED[WebSocketProtocol][0]),
            lambda protocol, http: delattr(http.worker, WORKERS[0]),
            lambda protocol, http: setattr(protocol, "transport", object()),
            lambda protocol, http: setattr(protocol, "__class__", Subclass),
            lambda protocol, http: protocol.transport.set_protocol(asyncio.Protocol()),
        ],
        ids=["attribute", "worker", "transport", "subclass", "protocol"],
    )
    @pytest.mark.parametrize("loop", ["asyncio"])
    def test_of_an_object(self, reports: Reports, loop: str, spoil: Callable[..., None]) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            protocol = send.__self__
            inside, http = dict(vars(protocol)), protocol.transport.get_protocol()
            worker = dict(vars(http.worker))
            spoil(protocol, http)
            reports.put(attach(protocol, receive, send))
            vars(protocol).update(inside)
            vars(http.worker).update(worker)

        server = Gunicorn(app, loop=loop)
        with running(server), Client(server.port):
            assert reports.get() is None

    @pytest.mark.parametrize("name", ["HEADER", "RUN"])
    def test_of_code(
        self, serve: Serve, reports: Reports, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr(f"asgi_keepalive.servers.gunicorn.{name}", "other")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            reports.put(get_keepalive(scope).supported)

        server = serve(app, expect=("keepalive is off on gunicorn",))
        with Client(server.port):
            assert reports.get() is False


class Subclass(WebSocketProtocol):  # type: ignore[misc]
    """Whatever it has changed."""
