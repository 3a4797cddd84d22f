"""What clients may do to a stream on hypercorn over HTTP/2."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import pytest

from asgi_keepalive.extension import Disconnected
from asgi_keepalive.servers.hypercorn.stream_transport import HIGH

from ..conftest import Reports
from ..support.applications import accept, echo, stream
from ..support.client import BINARY, CLOSE, PING, TEXT, close_code, frame
from ..support.server import wait_until
from ..support.timeouts import CLOSE_TIMEOUT
from .http2 import SLOW, Serve2, by_path, lives, once, serve, until_end

__all__ = ["serve"]


class TestPeer:
    """It ends a stream."""

    def test_by_a_close_frame(self, serve: Serve2, reports: Reports) -> None:
        async def app(*args: Any) -> None:
            reports.put(await until_end(*args))

        served = serve(app, **SLOW)
        with served.connect() as client:
            closed = client.open()
            closed.send_data(frame(TEXT, b"hello") + frame(CLOSE, b"\x0f\xa1bye"), end=True)
            assert reports.get() == {
                "type": "websocket.disconnect",
                "code": 4001,
                "reason": "bye",
            }
            assert closed.until_over() == [(CLOSE, b"\x0f\xa1bye")]
            wait_until(served.nothing_left)

    @pytest.mark.parametrize("leaves", ["ends", "resets"])
    def test_while_send_is_blocked(self, serve: Serve2, reports: Reports, leaves: str) -> None:
        async def streaming(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                await stream(send)
            except Exception as error:
                reports.put(error)
                reports.put([await receive(), await receive()])
                raise

        served = serve(by_path(streaming=streaming), **SLOW)
        with served.connect() as client:
            other = client.open()
            left = client.open("/streaming")
            left.reads = False
            client.until(lambda: len(left.buffer) > 60_000)
            buffers = served.connections[0].stream_buffers
            wait_until(lambda: len(buffers[left.id].buffer) >= HIGH)
            if leaves == "ends":
                left.end()
            else:
                left.cancel()
            assert isinstance(reports.get(), Disconnected)
            lost = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
            assert reports.get() == [lost, lost]
            assert lives(client, other)
            if leaves == "ends":
                client.until(lambda: left.reset is not None)
            wait_until(lambda: list(served.connections[0].stream_buffers) == [other.id])

    def test_at_once(self, serve: Serve2) -> None:
        served = serve(echo)
        with served.connect() as client:
            for _ in range(150):
                client.connect().cancel()
            wait_until(lambda: served.connections and served.nothing_left())
            assert lives(client, client.open())
        assert not [one for one in served.server.records if "keepalive is off" in one.getMessage()]

    def test_before_accept(self, serve: Serve2, reports: Reports) -> None:
        may_accept = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await may_accept.wait()
            await send({"type": "websocket.accept"})
            reports.put(await receive())
            try:
                await send({"type": "websocket.send", "text": "late"})
            except OSError as error:
                reports.put(error)

        served = serve(app)
        with served.connect() as client:
            client.connect().cancel()
            client.for_at_most(lambda: False, 0.1)
            served.server.run(may_accept.set)
            assert reports.get()["code"] == 1006
            assert isinstance(reports.get(), Disconnected)
            wait_until(served.nothing_left)

    def test_by_ending_its_side_before_accept(self, serve: Serve2, reports: Reports) -> None:
        may_accept = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            reports.put("connected")
            reports.put(await receive())
            await may_accept.wait()
            await send({"type": "websocket.accept"})

        served = serve(by_path(early=app), **SLOW)
        with served.connect() as client:
            other = client.open()
            ended = client.connect("/early")
            assert reports.get() == "connected"
            ended.end()
            assert reports.get()["code"] == 1006
            assert ended.response()[":status"] == "400"  # as for anything else that comes early
            client.until(lambda: ended.ended)
            served.server.run(may_accept.set)
            assert lives(client, other)
            assert ended.reset is None
            wait_until(lambda: list(served.connections[0].streams) == [other.id])

    def test_that_is_refused_while_its_application_begins(self, serve: Serve2) -> None:
        """hypercorn cannot write its 400 at once; a second response would break the others."""
        served = serve(echo, **SLOW)
        with served.connect() as client:
            other = client.open()

            def hold() -> None:
                tcp = served.connections[0].send.__self__
                task = tcp.loop.create_task(tcp.send_lock.acquire())
                assert task
                tcp.loop.call_later(0.2, tcp.send_lock.release)

            served.server.run(hold)
            with mock.patch.object(client, "flush"):  # so that both come in one read
                early = client.connect()
                early.send(TEXT, b"early")
            client.flush()
            assert early.response()[":status"] == "400"
            client.until(lambda: early.ended)
            assert early.buffer == b""
            early.end()
            assert lives(client, other)
            assert lives(client, client.open())

    def test_by_speaking_too_early(self, serve: Serve2, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            reports.put(await receive())

        served = serve(by_path(early=app), **SLOW)
        with served.connect() as client:
            other = client.open()
            early = client.connect("/early")
            early.send(TEXT, b"early")
            early.send(TEXT, b"and more")
            assert early.response()[":status"] == "400"
            early.end()
            assert reports.get()["code"] == 1006
            assert lives(client, other)
            wait_until(lambda: list(served.connections[0].streams) == [other.id])

    @once
    @pytest.mark.parametrize(
        ("frames", "code"),
        [
            (b"\x81\x05hello", 1002),
            (frame(TEXT, b"\xff"), 1007),
            (frame(BINARY, bytes(1001)), 1009),
        ],
        ids=["not-masked", "not-utf-8", "too-large"],
    )
    def test_by_a_protocol_error(
        self, serve: Serve2, reports: Reports, frames: bytes, code: int
    ) -> None:
        async def app(*args: Any) -> None:
            reports.put(await until_end(*args))

        served = serve(by_path(broken=app), websocket_max_message_size=1000, **SLOW)
        with served.connect() as client:
            other = client.open()
            broken = client.open("/broken")
            broken.send_data(frames)
            assert reports.get()["code"] == 1006
            assert close_code(broken.expect(CLOSE))[0] == code
            broken.end()
            assert lives(client, other)

    def test_by_going_away(self, serve: Serve2, reports: Reports) -> None:
        """GOAWAY (RFC 9113 6.8); to h2 it is the end of the connection."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            reports.put(await until_end(scope, receive, send))

        served = serve(app, **SLOW)
        with served.connect() as client:
            client.open()
            client.open()
            client.connection.close_connection()
            client.flush()
            assert [reports.get()["code"], reports.get()["code"]] == [1006, 1006]
            client.until(lambda: client.is_over)
        served.freed(client, CLOSE_TIMEOUT)

    def test_by_breaking_http_2(self, serve: Serve2, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            reports.put(await until_end(scope, receive, send))

        served = serve(app, **SLOW)
        with served.connect() as client:
            client.open()
            client.socket.sendall(b"\0\0\0\0\0\0\0\0\0")  # DATA of no stream
            assert reports.get()["code"] == 1006
            client.until(lambda: client.is_over)
        served.freed(client, CLOSE_TIMEOUT)

    @pytest.mark.parametrize("resets", [False, True])
    def test_with_all_of_tcp(self, serve: Serve2, reports: Reports, resets: bool) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            reports.put(await until_end(scope, receive, send))

        served = serve(app)
        client = served.connect()
        opened = client.open()
        if resets:  # with a Ping unread
            client.for_at_most(lambda: PING in opened.buffer[:1], 0.3)
        client.close()
        assert reports.get()["code"] == 1006
        served.freed(client)

    @once
    def test_with_tcp_after_its_last_stream(self, serve: Serve2) -> None:
        served = serve(echo)
        with served.connect() as client:
            client.open().cancel()
            wait_until(served.nothing_left)
        served.freed(client)


@once
class TestMessages:
    def test_that_are_large(self, serve: Serve2) -> None:
        served = serve(echo, ping_interval=0.05, ping_timeout=20)
        with served.connect() as client:
            talking = client.open("/", ("sec-websocket-extensions", "permessage-deflate"))
            talking.answers = True
            message = bytes(range(256)) * 2000
            received: list[bytes] = []
            talking.send(BINARY, message)
            compressed = talking.receive()
            assert compressed[0] == BINARY
            assert 0 < len(compressed[1]) < len(message)
            received.append(compressed[1])

    def test_pings_of_a_peer_that_reads_nothing(self, serve: Serve2, reports: Reports) -> None:
        async def streaming(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await stream(send)

        served = serve(streaming, **SLOW)
        with served.connect() as client:
            flooding = client.open()
            flooding.reads = False
            client.until(lambda: len(flooding.buffer) > 60_000)
            [buffer] = served.connections[0].stream_buffers.values()
            for _ in range(20):
                flooding.send_data(frame(PING, b"x" * 100) * 100)
            client.for_at_most(lambda: False, 0.2)
            assert len(buffer.buffer) < 110_000
            flooding.reads = True
            client.connection.increment_flow_control_window(2**20, flooding.id)
            client.flush()
            flooding.buffer = b""
            client.until(lambda: b"\x8a\x64" + b"x" * 100 in flooding.buffer)

    def test_that_wait_in_a_queue_without_bound(self, serve: Serve2, reports: Reports) -> None:
        may_receive = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await may_receive.wait()
            reports.put([len((await receive())["text"]) for _ in range(2000)])

        served = serve(app, ws_max_queue=None, **SLOW)
        with served.connect() as client:
            opened = client.open()
            opened.send_data(frame(TEXT, b"x" * 100) * 2000)
            served.server.run(may_receive.set)
            assert reports.get() == [100] * 2000
