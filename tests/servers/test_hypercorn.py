"""What only hypercorn does: its settings, and where it is left alone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from unittest import mock

import hypercorn.logging
import hypercorn.trio.tcp_server
import pytest
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from wsproto.connection import Connection, ConnectionType

from asgi_keepalive.servers import hypercorn as adapter
from asgi_keepalive.servers.hypercorn import HTTP_3, TOUCHED, TRIO, attach
from asgi_keepalive.servers.hypercorn.http1 import HTTP1Adapter

from ..conftest import Reports, Serve
from ..support.applications import accept, echo
from ..support.client import CLOSE, TEXT, Client, close_code, frame
from ..support.process import started
from ..support.server import freed, kernel_sockets, running, wait_until
from ..support.serving import serving
from .test_commands import HYPERCORN


@pytest.fixture
def ws() -> str:
    return "hypercorn"


class H3Protocol:
    """hypercorn's own needs another package."""

    async def stream_send(self, event: Any) -> None: ...


async def until_end(scope: Any, receive: Any, send: Any) -> Any:
    """Accept, receive until the end, and return what that was."""
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        pass
    return event


class TestFrames:
    def test_that_are_not_websocket(self, serve: Serve, reports: Reports) -> None:
        async def app(*args: Any) -> None:
            reports.put(await until_end(*args))

        server = serve(app)
        with Client(server.port).open() as client:
            client.socket.sendall(b"\x81\x05hello")  # without a mask
            assert reports.get()["code"] == 1006
            assert close_code(client.expect(CLOSE))[0] == 1002
            assert client.until_end() == []
        freed(server, client, 0)

    def test_of_a_message_that_is_too_large(self, serve: Serve, reports: Reports) -> None:
        async def app(*args: Any) -> None:
            reports.put(await until_end(*args))

        server = serve(app, websocket_max_message_size=1000)
        with Client(server.port).open() as client:
            client.socket.sendall(frame(TEXT, b"x" * 1001) + frame(TEXT, b"and more"))
            assert reports.get()["code"] == 1006
            assert close_code(client.expect(CLOSE))[0] == 1009
            assert client.until_end() == []
        freed(server, client, 0)

    def test_close_that_answers_the_applications(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.close", "code": 4000})
            reports.put(await receive())

        server = serve(app)
        with Client(server.port).open() as client:
            client.send(CLOSE, client.expect(CLOSE))
            assert reports.get()["code"] == 4000
            assert client.until_end() == []
        freed(server, client, 0)

    @pytest.mark.parametrize("loop", ["asyncio"])
    def test_that_come_while_accept_is_being_sent(self, serve: Serve, reports: Reports) -> None:
        class Slow(hypercorn.logging.Logger):
            async def access(self, *args: Any) -> None:
                await asyncio.sleep(0.2)
                reports.put("one came")

        server = serve(echo, ping_interval=None, logger_class=Slow)
        with Client(server.port).open() as client:
            client.send(TEXT, b"early")
            assert reports.get() == "one came"
            client.send(TEXT, b"later")
            assert [client.expect(TEXT), client.expect(TEXT)] == [b"early", b"later"]


class TestSettings:
    def test_read_timeout_hears_what_comes(self, serve: Serve, reports: Reports) -> None:
        async def app(*args: Any) -> None:
            reports.put(await until_end(*args))

        server = serve(app, read_timeout=0.5, ping_timeout=5)
        with Client(server.port).open() as client:
            client.answer(1.5)
            assert reports.empty()
            client.socket.settimeout(2)
            assert reports.get()["code"] == 1006

    def test_unlimited_queue(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(0.5)
            reports.put([(await receive()).get("text") for _ in range(100)])

        server = serve(app, ws_max_queue=None)
        with Client(server.port).open() as client:
            client.socket.sendall(b"".join(frame(TEXT, b"%d" % n) for n in range(100)))
            client.answer(1)
            assert reports.get() == [str(n) for n in range(100)]


class TestDeclines:
    """P10."""

    def test_inside_that_is_different(self) -> None:
        assert attach(object(), receive, send) is None
        assert attach(object.__new__(WSStream), receive, send) is None

    @pytest.mark.parametrize("loop", ["asyncio"])
    def test_attribute_that_is_missing(
        self, ws: str, loop: str, reports: Reports, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def accept_differently() -> None: ...

        async def app(scope: Any, receive: Any, send: Any) -> None:
            stream = send.__self__
            tcp = stream.send.__self__.send.__self__
            parts = stream, stream.send.__self__, tcp, tcp.reader, tcp.writer
            for part, names in zip(parts, TOUCHED.values(), strict=True):
                for name in names:
                    with monkeypatch.context() as patch:
                        patch.delattr(part if name in vars(part) else type(part), name)
                        reports.put((name, attach(stream, receive, send)))
            for owner, name, value in [
                (WSStream, "_accept", accept_differently),
                (stream, "app_put", accept_differently),
                (tcp.writer, "_transport", asyncio.Transport()),
                (adapter, "wsproto_is_known", lambda: False),
            ]:
                with monkeypatch.context() as patch:
                    patch.setattr(owner, name, value)
                    reports.put((name, attach(stream, receive, send)))
            assert attach(stream, receive, send)
            reports.put(("nothing", None))

        with running(serving(app, ws=ws, loop=loop)) as server, Client(server.port):
            tried: list[str] = []
            while not tried or tried[-1] != "nothing":
                name, attached = reports.get()
                tried.append(name)
                assert attached is None, name
            assert len(tried) == sum(map(len, TOUCHED.values())) + 5

    @pytest.mark.parametrize(
        ("protocol", "worker", "advice"),
        [(H3Protocol, TCPServer, HTTP_3), (H11Protocol, hypercorn.trio.tcp_server.TCPServer, TRIO)],
    )
    def test_parts_that_are_different(self, protocol: Any, worker: Any, advice: str) -> None:
        stream, http, tcp = (object.__new__(cls) for cls in (WSStream, protocol, worker))
        stream.send, http.send = http.stream_send, tcp.protocol_send
        assert attach(stream, receive, send) == advice

    def test_trio(self) -> None:
        with started(*HYPERCORN, "--worker-class", "trio") as process:
            for _ in range(2):
                with Client(process.port, path="/receive").open() as client:
                    assert process.told()["supported"] is False
                    client.send(CLOSE, b"\x03\xe8")
                    assert "code" in process.told()
            assert TRIO in process.output
            assert process.output.count("keepalive is off") == 1


async def receive() -> Any:
    """A server's, in name."""


async def send(event: Any) -> None:
    """A server's, in name."""


def test_peer_that_resets_while_its_connection_closes(serve: Serve) -> None:
    class Resets(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "keepalive ping timeout" in record.getMessage():  # the failure is not over yet
                client.socket.close()  # with a Ping unread, that is a reset

    server = serve(until_end)
    logger = logging.getLogger("asgi_keepalive")
    handler = Resets()
    logger.addHandler(handler)
    try:
        with Client(server.port).open() as client:
            wait_until(lambda: client.socket.fileno() == -1)
    finally:
        logger.removeHandler(handler)
    freed(server, client, 0)


def test_sigterm_with_frozen_peers(ws: str, loop: str) -> None:
    """It waits for applications, then cancels them; what cannot be flushed must not add to it."""
    flags = ("--worker-class", loop, "--graceful-timeout", "1")
    with (
        started(*HYPERCORN, *flags, PING_INTERVAL="20", PING_TIMEOUT="20") as process,
        Client(process.port, path="/stream", receive_buffer=4096).open() as frozen,
        Client(process.port, path="/receive").open(),
    ):
        process.told()
        process.told()
        wait_until(lambda: kernel_sockets(process.port, frozen.port)[0][1] > 10_000)
        assert process.terminate() < 1 + 0.5 + 1 + 1  # the interpreter has to exit, too


def test_connection_in_the_midst_of_a_frame_is_left_to_hypercorn_until_its_end() -> None:
    """As a middleware inside an application that has accepted may find it."""
    connection = Connection(ConnectionType.SERVER)
    adapter: Any = object.__new__(HTTP1Adapter)
    adapter._stream = mock.Mock(state=ASGIWebsocketState.CONNECTED, connection=connection)
    adapter._tcp = mock.Mock()
    adapter._tcp.reader._buffer = bytearray()
    adapter.transport = mock.Mock()
    adapter.transport.is_closing.return_value = False
    whole = frame(TEXT, b"hello")
    connection.receive_data(whole[:-1])
    list(connection.events())
    assert adapter.unparsed() is None
    connection.receive_data(whole[-1:])
    list(connection.events())
    assert adapter.unparsed() == b""
