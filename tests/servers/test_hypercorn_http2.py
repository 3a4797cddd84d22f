"""The promises about dead clients on hypercorn over HTTP/2, where one stream of several is dead."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from h2.errors import ErrorCodes

from asgi_keepalive import KeepaliveTimeout, get_keepalive
from asgi_keepalive.endpoint.kernel import UNSENT

from ..conftest import Reports
from ..support.applications import accept, echo, stream
from ..support.client import CLOSE, PING, PONG, close_code, cut_off
from ..support.server import wait_until
from ..support.tcp import notsent_lowat
from ..support.timeouts import CLOSE_TIMEOUT, FAILED, LATE, TIMEOUT
from .http2 import ANSWER, SLOW, Serve2, by_path, everywhere, lives, once, serve

__all__ = ["serve"]


class TestSilent:
    """P1."""

    @everywhere
    def test_client(self, serve: Serve2, reports: Reports) -> None:
        async def silent(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            keepalive = get_keepalive(scope)
            reports.put((scope["http_version"], keepalive.supported))
            reports.put([await receive(), await receive()])
            reports.put(str(keepalive.verdict))

        served = serve(by_path(silent=silent))
        with served.connect() as client:
            other = client.open()
            other.answers = True
            failed = client.open("/silent")
            assert reports.get() == ("2", True)
            failed.expect(PING)
            began = time.monotonic()
            assert close_code(failed.expect(CLOSE)) == (1011, "keepalive ping timeout")
            assert TIMEOUT - 0.05 < time.monotonic() - began < TIMEOUT + LATE
            assert reports.get() == [FAILED, FAILED]
            assert reports.get().startswith("silent: nothing has come for 0.")
            client.until(lambda: failed.ended)
            assert failed.reset is None
            client.until(lambda: failed.reset is not None)
            assert 0 <= time.monotonic() - began - TIMEOUT - CLOSE_TIMEOUT + 0.05 < LATE
            assert failed.reset == ErrorCodes.CANCEL
            assert lives(client, other)
        served.freed(client)

    @once
    def test_client_that_answers_the_close_frame(self, serve: Serve2) -> None:
        served = serve(echo)
        with served.connect() as client:
            failed = client.open()
            failed.until_over()
            failed.send_data(ANSWER, end=True)
            client.for_at_most(lambda: failed.reset is not None, CLOSE_TIMEOUT + 0.2)
            assert failed.reset is None
            assert served.nothing_left()

    def test_many_streams_leave_nothing(self, serve: Serve2) -> None:
        served = serve(echo)
        with served.connect() as client:
            streams = [client.open() for _ in range(60)]
            client.until(lambda: all(one.reset is not None for one in streams))
            wait_until(served.nothing_left)
            assert lives(client, client.open())

    def test_clients_behind_what_wraps_the_calls(self, serve: Serve2, reports: Reports) -> None:
        """P11."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(get_keepalive(scope).supported)
            while (event := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": event["text"]})
            reports.put(event)

        served = serve(app)
        served.wraps = True
        with served.connect() as client:
            streams = [client.open() for _ in range(3)]
            assert [reports.get() for _ in streams] == [True] * 3
            silent, *others = streams
            for other in others:
                assert lives(client, other)
            assert close_code(silent.until_over()[-1][1])[0] == 1011
            assert reports.get() == FAILED
            assert all(lives(client, other) for other in others)

    def test_client_that_has_no_time_to_close(self, serve: Serve2) -> None:
        """TCP is not aborted because an HTTP/2 PING cannot be answered in no time."""
        served = serve(echo, close_timeout=0)
        with served.connect() as client:
            other = client.open()
            other.answers = True
            failed = client.open()
            client.until(lambda: failed.reset is not None)
            client.for_at_most(lambda: client.is_over, 0.7)
            assert lives(client, other)


class TestBlocked:
    """P2 and P3."""

    def test_by_a_window(self, serve: Serve2, reports: Reports) -> None:
        async def streaming(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await stream(send))
            reports.put(await receive())

        served = serve(by_path(streaming=streaming))
        with served.connect() as client:
            other = client.open()
            other.answers = True
            failed = client.connect("/streaming")
            failed.reads = False
            client.until(lambda: failed.reset is not None)
            error = reports.get()
            assert isinstance(error, KeepaliveTimeout)
            assert error.verdict is not None
            assert error.verdict.reason == "frozen"
            assert reports.get() == FAILED
            assert lives(client, other)
            wait_until(lambda: len(served.connections[0].streams) == 1)

    def test_buffers_no_more_than_a_message(self, serve: Serve2, reports: Reports) -> None:
        async def streaming(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            while True:
                await send({"type": "websocket.send", "bytes": bytes(50_000)})
                reports.put("sent")

        served = serve(streaming, **SLOW)
        with served.connect() as client:
            slow = client.open()
            slow.reads = False
            client.for_at_most(lambda: False, 0.3)
            assert reports.get() == "sent"
            [buffer] = served.connections[0].stream_buffers.values()
            assert len(buffer.buffer) < 2 * 50_100
            slow.reads = True
            client.connection.increment_flow_control_window(65_535, slow.id)
            client.flush()
            client.until(lambda: len(slow.buffer) > 300_000)
            slow.cancel()
            wait_until(served.nothing_left)

    @once
    def test_two_senders_of_which_one_gives_up(self, serve: Serve2, reports: Reports) -> None:
        async def streaming(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            event = {"type": "websocket.send", "bytes": bytes(100_000)}
            blocked = [asyncio.create_task(send(event)) for _ in range(2)]
            await asyncio.wait(blocked, timeout=0.1)
            blocked[0].cancel()
            reports.put((await asyncio.wait(blocked, timeout=0.1))[0] == {blocked[0]})
            reports.put(await blocked[1])

        served = serve(streaming, **SLOW)
        with served.connect() as client:
            slow = client.connect()
            slow.reads = False
            client.for_at_most(lambda: len(slow.buffer) > 60_000, 10)
            assert reports.get() is True
            client.connection.increment_flow_control_window(2**20, slow.id)
            client.flush()
            client.until(lambda: len(slow.buffer) > 2 * 100_000)
            assert reports.get() is None

    @everywhere
    def test_by_tcp(self, serve: Serve2, reports: Reports) -> None:
        async def streaming(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await stream(send))

        served = serve(by_path(streaming=streaming))
        with served.connect(receive_buffer=4096, window=2**30) as client:
            client.connection.increment_flow_control_window(2**30)
            client.open()
            client.connect("/streaming")
            assert isinstance(reports.get(), KeepaliveTimeout)
            served.freed(client, CLOSE_TIMEOUT)

    @once
    def test_sender_that_never_receives(self, serve: Serve2, reports: Reports) -> None:
        async def sending(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                while True:
                    await send({"type": "websocket.send", "text": "x"})
                    await asyncio.sleep(0.02)
            except KeepaliveTimeout:
                reports.put("told")

        served = serve(sending)
        with served.connect() as client:
            client.open()
            assert reports.get() == "told"

    def test_dead_host(self, serve: Serve2, reports: Reports) -> None:
        """Nothing comes any more, and nothing is in the way of what is sent."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())

        served = serve(app)
        with served.connect() as client:
            client.open()
            client.open()
            cut_off(client.socket)
            assert [reports.get(), reports.get()] == [FAILED, FAILED]
            served.freed(client, CLOSE_TIMEOUT)


@once
def test_only_a_real_pong_counts(serve: Serve2, reports: Reports) -> None:
    """P6, and latency."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        event = await receive()
        reports.put((get_keepalive(scope).latency, event))

    served = serve(app)
    with served.connect() as client:
        lying = client.open()
        ping = lying.expect(PING)
        lying.send(PONG, b"another")
        lying.send(PONG, b"")
        assert reports.get() == (None, FAILED)
        answering = client.open()
        ping = answering.expect(PING)
        time.sleep(0.05)
        answering.send(PONG, ping)
        answering.expect(PING)
        answering.send_data(ANSWER)
        latency, event = reports.get()
        assert 0.05 <= latency < 0.05 + LATE
        assert event["code"] == 4000


@once
def test_keepalive_of_hypercorn_is_off(serve: Serve2, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(get_keepalive(scope).supported)
        await receive()

    served = serve(app, ws_ping_interval=0.05, **SLOW)
    with served.connect() as client:
        quiet = client.open()
        assert reports.get() is True
        client.for_at_most(lambda: quiet.buffer, 0.2)
        assert quiet.buffer == b""


@everywhere
def test_the_kernel_takes_little_ahead(serve: Serve2) -> None:
    served = serve(echo)
    with served.connect() as client:
        client.open()
        assert notsent_lowat(served.server.port, client.port) == UNSENT
