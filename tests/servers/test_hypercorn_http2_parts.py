"""The parts of hypercorn over HTTP/2, where a server and a client would need luck to get there."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import hypercorn.logging
import pytest
from h2.connection import H2Connection
from hypercorn.protocol.events import Body

from asgi_keepalive.servers.hypercorn import TOUCHED_BY_HTTP_2, attach
from asgi_keepalive.servers.hypercorn.http1 import HTTP1Adapter
from asgi_keepalive.servers.hypercorn.http2 import HTTP2Adapter
from asgi_keepalive.servers.hypercorn.life import Asked
from asgi_keepalive.servers.hypercorn.stream_transport import StreamTransport
from asgi_keepalive.servers.hypercorn.streams import HTTP2Connection
from asgi_keepalive.servers.hypercorn.windows import Upload, Window

from ..conftest import Reports
from ..support.applications import echo
from ..support.client import CLOSE, PING, TEXT, close_code, frame
from ..support.h2 import HTTP2
from ..support.process import started
from ..support.server import running
from ..support.serving import serving
from .http2 import Serve2, serve
from .test_commands import HYPERCORN, TIMED_OUT

__all__ = ["serve"]


@pytest.mark.parametrize("cls", [HTTP1Adapter, HTTP2Adapter, StreamTransport])
def test_connection_takes_no_dictionary(cls: type) -> None:
    """On every idle one it would take hundreds of bytes."""
    assert not hasattr(object.__new__(cls), "__dict__")


class TestTransport:
    @pytest.fixture
    def connection(self) -> mock.Mock:
        """Stands for what the streams share."""
        connection = mock.Mock()
        connection.size.return_value = 0
        connection.life.ask.return_value = Asked(7, 0)
        connection.window.side_effect = lambda stream_id: Window(connection.give_back)
        connection.loop.call_soon.side_effect = lambda function: function()
        return connection

    @pytest.fixture
    def transport(self, connection: mock.Mock) -> StreamTransport:
        transport = StreamTransport(connection, 1)
        transport.set_protocol(mock.Mock())
        return transport

    def test_is_of_the_kind_without_half_close(self, transport: StreamTransport) -> None:
        assert not transport.can_write_eof()
        assert transport.get_extra_info("socket") is None
        assert transport.get_write_buffer_size() == 0

    def test_ends_once(self, connection: mock.Mock, transport: StreamTransport) -> None:
        transport.end()
        assert not transport.is_closing()
        transport.close()
        transport.close()
        assert transport.is_closing()
        connection.end_stream.assert_called_once_with(1)
        connection.life.ask.assert_called_once_with()

    def test_abort_asks_whether_the_peer_is_dead(
        self, connection: mock.Mock, transport: StreamTransport
    ) -> None:
        transport.close()
        transport.abort()
        transport.abort()
        connection.reset_stream.assert_called_once_with(1)
        connection.life.abort_if_dead.assert_called_once_with(Asked(7, 0))
        transport.get_protocol().connection_lost.assert_called_once_with(None)

    def test_abort_of_one_that_is_open(
        self, connection: mock.Mock, transport: StreamTransport
    ) -> None:
        transport.abort()
        connection.reset_stream.assert_called_once_with(1)
        connection.life.abort_if_dead.assert_not_called()

    def test_without_a_response_it_is_reset(
        self, connection: mock.Mock, transport: StreamTransport
    ) -> None:
        connection.has_responded.return_value = False
        transport.close()
        connection.end_stream.assert_not_called()
        connection.reset_stream.assert_called_once_with(1)
        transport.get_protocol().connection_lost.assert_called_once_with(None)

    def test_nothing_is_written_behind_the_end(
        self, connection: mock.Mock, transport: StreamTransport
    ) -> None:
        transport.end()
        transport.write(b"late")
        connection.write.assert_not_called()

    def test_nothing_is_ended_when_it_is_lost(
        self, connection: mock.Mock, transport: StreamTransport
    ) -> None:
        transport.lost()
        transport.close()
        transport.eof_received()
        connection.end_stream.assert_not_called()
        transport.get_protocol().eof_received.assert_not_called()

    def test_end_of_the_peer_waits_for_what_came_before(
        self, connection: mock.Mock, transport: StreamTransport
    ) -> None:
        transport.pause_reading()
        transport.eof_received()
        transport.get_protocol().eof_received.assert_not_called()
        transport.get_protocol().eof_received.return_value = True
        transport.resume_reading()
        transport.get_protocol().eof_received.assert_called_once_with()
        assert not transport.is_closing()


class TestConnection:
    @pytest.fixture
    def loop(self) -> mock.Mock:
        return mock.Mock(time=mock.Mock(return_value=100.0))

    @pytest.fixture
    def http(self) -> mock.Mock:
        http = mock.Mock(streams={}, stream_buffers={}, closed=False)
        http._flush = http.stream_send = http._window_updated = mock.AsyncMock()
        return http

    @pytest.fixture
    def connection(self, loop: mock.Mock, http: mock.Mock) -> HTTP2Connection:
        tcp = mock.Mock(loop=loop)
        tcp.writer.get_extra_info.return_value = None
        tcp.writer.transport._ssl_protocol = tcp.writer.transport._server = None
        connection = HTTP2Connection(http, tcp)
        connection.spawn = lambda coroutine: coroutine.close()  # type: ignore[method-assign]
        return connection

    def test_stream_of_which_nothing_is_buffered(self, connection: HTTP2Connection) -> None:
        assert connection.size(1) is None
        connection.write(1, b"data")
        connection.end_stream(1)

    def test_window_that_is_kept_when_the_peer_has_gone_away(
        self, connection: HTTP2Connection, http: mock.Mock
    ) -> None:
        real = H2Connection()
        real.initiate_connection()
        real.close_connection()
        http.connection = real
        connection.add(1).pause_reading()
        connection._acknowledge_received_data(10, 1)

    @pytest.mark.parametrize("turn_ends", [0, float("inf")])
    def test_flood_lets_others_have_their_turn(
        self, connection: HTTP2Connection, turn_ends: float
    ) -> None:
        stream: Any = object.__new__(HTTP2Adapter)
        stream._connection = connection
        stream._frames = mock.Mock()
        stream._stream = mock.Mock()
        connection.turn_ends = turn_ends
        handling = stream._handle_event(Body(1, b"data"))
        if not turn_ends:
            handling.send(None)
            stream._frames.data_received.assert_called_once_with(b"data")
        with pytest.raises(StopIteration):
            handling.send(None)


class TestUpload:
    def test_bodies_are_joined(self) -> None:
        async def play() -> None:
            given_back: list[int] = []
            queue: asyncio.Queue[Any] = asyncio.Queue(1)
            upload = Upload(queue, Window(given_back.append))

            def part(body: bytes, more_body: bool = True) -> Any:
                return {"type": "http.request", "body": body, "more_body": more_body}

            for body in b"a", b"b", b"", b"c":
                await upload.put(part(body))
                if upload.window.is_withheld:
                    upload.window.keep(len(body))
            await upload.put(part(b"", more_body=False))
            await upload.put({"type": "http.disconnect"})
            events = [await queue.get() for _ in range(4)]
            assert events == [
                part(b"a"),
                part(b"bc"),
                part(b"", more_body=False),
                {"type": "http.disconnect"},
            ]
            assert given_back == [2]

        asyncio.run(play())

    def test_what_is_empty_holds_up_nothing(self) -> None:
        async def play() -> None:
            queue: asyncio.Queue[Any] = asyncio.Queue(1)
            upload = Upload(queue, Window(lambda size: None))
            for _ in range(3):
                await upload.put({"type": "http.request", "body": b"", "more_body": True})
            await queue.get()
            assert not upload.window.is_withheld
            assert queue.empty()

        asyncio.run(play())


@pytest.mark.parametrize("serve", ["asyncio-h2c"], indirect=True)
class TestAttach:
    def test_attribute_that_is_missing(
        self, serve: Serve2, reports: Reports, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            stream = send.__self__
            http = stream.send.__self__
            tcp = http.send.__self__
            parts = [stream, http, tcp, tcp.reader, tcp.writer]
            parts += [http.stream_buffers[stream.stream_id], http.has_data, http.connection]
            for part, names in zip(parts, TOUCHED_BY_HTTP_2.values(), strict=True):
                for name in names:
                    with monkeypatch.context() as patch:
                        patch.delattr(part if name in vars(part) else type(part), name)
                        reports.put((name, attach(stream, receive, send)))
            with monkeypatch.context() as patch:
                patch.setattr(stream, "app_put", echo)
                reports.put(("queue", attach(stream, receive, send)))
            assert attach(stream, receive, send)
            reports.put(("nothing", None))

        with (
            running(serving(app, ws="hypercorn", loop="asyncio")) as server,
            HTTP2(server.port) as client,
        ):
            client.connect()
            tried: list[str] = []
            while not tried or tried[-1] != "nothing":
                name, attached = reports.get()
                tried.append(name)
                assert attached is None, name
        assert len(tried) == sum(map(len, TOUCHED_BY_HTTP_2.values())) + 2

    def test_frames_that_come_while_accept_is_being_sent(
        self, serve: Serve2, reports: Reports
    ) -> None:
        class Slow(hypercorn.logging.Logger):
            async def access(self, *args: Any) -> None:
                reports.put("accepting")
                await asyncio.sleep(0.2)

        served = serve(echo, ping_interval=None, logger_class=Slow)
        with served.connect() as client:
            opened = client.connect()
            assert reports.get() == "accepting"
            whole = frame(TEXT, b"early")
            opened.send_data(whole[:3])
            opened.send_data(whole[3:])
            opened.send(TEXT, b"later")
            assert [opened.expect(TEXT), opened.expect(TEXT)] == [b"early", b"later"]


def test_without_flags() -> None:
    with started(*HYPERCORN, "--workers", "2") as process:
        with HTTP2(process.port) as client:
            silent = client.open("/receive")
            assert process.told()["supported"] is True
            silent.expect(PING)
            assert process.told() == TIMED_OUT
            assert close_code(silent.expect(CLOSE)) == (1011, "keepalive ping timeout")
            client.open("/receive")
            process.told()
            assert process.terminate() < 3 + 0.5 + 1 + 2.5  # its graceful timeout, and two workers
        assert "Traceback" not in process.output
        assert "keepalive is off" not in process.output
