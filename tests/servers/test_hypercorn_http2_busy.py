"""Applications that are behind, on hypercorn over HTTP/2: they stop their own streams only."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from ..conftest import Reports
from ..support.applications import accept, echo
from ..support.client import PING, PONG, TEXT, frame
from ..support.server import wait_until
from ..support.serving import APPLICATION_FAILED
from ..support.timeouts import INTERVAL, TIMEOUT
from .http2 import ANSWER, SLOW, Serve2, by_path, lives, once, serve

__all__ = ["serve"]


class TestBusy:
    """P4, and that an application that is behind stops its own stream only."""

    @once
    def test_application_keeps_its_client(self, serve: Serve2, reports: Reports) -> None:
        async def busy(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(INTERVAL + 2 * TIMEOUT)
            reports.put([(await receive())["text"] for _ in range(5)])

        served = serve(by_path(busy=busy))
        with served.connect() as client:
            talkative = client.open("/busy")
            talkative.answers = True
            for number in range(5):
                talkative.send(TEXT, b"%d" % number)
            client.for_at_most(talkative.is_over, INTERVAL + 2 * TIMEOUT)
            assert reports.get() == list("01234")

    @pytest.mark.parametrize("size", [1, 3000])
    def test_application_stops_nobody_else(
        self, serve: Serve2, reports: Reports, size: int
    ) -> None:
        received = asyncio.Event()

        async def behind(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await received.wait()
            reports.put([len((await receive())["text"]) for _ in range(100)])
            reports.put(await receive())

        served = serve(by_path(behind=behind), ws_max_queue=4, **SLOW)
        with served.connect() as client:
            other = client.open()
            flooding = client.open("/behind")
            flood = frame(TEXT, b"x" * size) * 100
            flooding.send_data(flood[:60_000])  # of a window of 65,535
            for _ in range(3):
                assert lives(client, other)
            room = client.connection.local_flow_control_window(flooding.id)
            assert room == 65_535 - len(flood[:60_000])
            served.server.run(received.set)
            flooding.send_data(flood[60_000:])
            flooding.send_data(ANSWER, end=True)
            assert reports.get() == [size] * 100
            assert reports.get()["code"] == 4000
            flooding.until_over()
            assert lives(client, other)

    @once
    def test_end_that_comes_behind_unread_messages(self, serve: Serve2, reports: Reports) -> None:
        received = asyncio.Event()

        async def behind(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await received.wait()
            reports.put([(await receive()).get("text") for _ in range(21)])

        served = serve(behind, ws_max_queue=4, **SLOW)
        with served.connect() as client:
            flooding = client.open()
            flooding.send_data(frame(TEXT, b"x") * 20, end=True)
            client.for_at_most(lambda: False, 0.1)
            assert not flooding.ended
            served.server.run(received.set)
            assert reports.get() == ["x"] * 20 + [None]
            client.until(lambda: flooding.ended)
            wait_until(served.nothing_left)

    @once
    @pytest.mark.parametrize("loses", ["stream", "tcp"])
    def test_loss_that_comes_behind_unread_messages(
        self, serve: Serve2, reports: Reports, loses: str
    ) -> None:
        received = asyncio.Event()

        async def behind(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await received.wait()
            reports.put([(await receive()).get("text") for _ in range(20)])
            reports.put([(await receive()).get("code") for _ in range(2)])

        served = serve(behind, ws_max_queue=4, **SLOW)
        with served.connect() as client:
            flooding = client.open()
            flooding.send_data(frame(TEXT, b"x") * 20 + ANSWER)
            if loses == "stream":
                flooding.cancel()
            else:
                client.close()
            wait_until(lambda: not served.connections[0].streams)
            served.server.run(received.set)
            assert reports.get() == ["x"] * 20
            assert reports.get() == [4000, 4000]


@once
def test_stall_of_the_event_loop(serve: Serve2, reports: Reports) -> None:
    """P5: the Pong is in the kernel, behind messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        while (event := await receive()).get("text") != "stall":
            pass
        time.sleep(2 * TIMEOUT)  # noqa: ASYNC251
        while (event := await receive())["type"] == "websocket.receive":
            pass
        reports.put(event)

    served = serve(app)
    with served.connect() as client:
        healthy = client.open()
        ping = healthy.expect(PING)
        healthy.send(TEXT, b"stall")
        healthy.send_data(frame(TEXT, b"x" * 1000) * 50 + frame(PONG, ping))
        time.sleep(2 * TIMEOUT)
        healthy.answers = True
        client.for_at_most(healthy.is_over, INTERVAL + TIMEOUT + 0.2)
        healthy.send_data(ANSWER)
        assert reports.get()["code"] == 4000


@once
def test_pong_that_is_the_first_thing_to_come_behind_a_stall(
    serve: Serve2, reports: Reports
) -> None:
    """P5: some turns of the event loop pass from the socket to its stream."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await asyncio.sleep(INTERVAL + 0.1)
        time.sleep(2 * TIMEOUT)  # noqa: ASYNC251
        reports.put(await receive())

    served = serve(app)
    with served.connect() as client:
        healthy = client.open()
        ping = healthy.expect(PING)
        time.sleep(0.2)
        healthy.send_data(frame(PONG, ping) + ANSWER)
        assert reports.get()["code"] == 4000


@once
class TestUpload:
    """An HTTP request beside a WebSocket."""

    def test_that_is_slow(self, serve: Serve2, reports: Reports) -> None:
        may_receive = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await echo(scope, receive, send)
                return
            await asyncio.get_running_loop().run_in_executor(None, may_receive.wait)
            body, more = b"", True
            while more:
                event = await receive()
                body, more = body + event["body"], event["more_body"]
            reports.put(body)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body"})
            reports.put(await receive())

        served = serve(app, ws_max_queue=2, **SLOW)
        with served.connect() as client:
            other = client.open()
            upload = client.request("POST", "/")
            parts = [b"%d " % number * 50 for number in range(200)]
            for part in parts[:100]:
                upload.send_data(part)
            upload.send_data(b"")
            for _ in range(3):
                assert lives(client, other)
            may_receive.set()
            for part in parts[100:]:
                upload.send_data(part)
            upload.send_data(b"0", end=True)
            assert reports.get() == b"".join(parts) + b"0"
            assert upload.response()[":status"] == "200"
            assert reports.get() == {"type": "http.disconnect"}
            assert lives(client, other)

    def test_fills_no_memory(self, serve: Serve2, reports: Reports) -> None:
        may_end = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await echo(scope, receive, send)
                return
            await may_end.wait()
            reports.put([(await receive())["type"] for _ in range(4)])

        served = serve(app, ws_max_queue=2, **SLOW)
        served.expected += APPLICATION_FAILED
        with served.connect() as client:
            other = client.open()
            upload = client.request("POST", "/")
            client.connection.send_data(upload.id, bytes(10))
            client.flush()
            for _ in range(1000):
                client.connection.send_data(upload.id, b"")
            while room := client.connection.local_flow_control_window(upload.id):
                upload.send_data(bytes(min(room, 1000)))
            client.for_at_most(lambda: False, 0.2)
            assert client.connection.local_flow_control_window(upload.id) == 0
            assert lives(client, other)
            upload.cancel()
            assert lives(client, other)
            served.server.run(may_end.set)
            assert reports.get() == ["http.request"] * 3 + ["http.disconnect"]

    def test_for_a_host_that_is_not_served(self, serve: Serve2) -> None:
        served = serve(echo, server_names=["localhost"], **SLOW)
        with served.connect() as client:
            other = client.open()
            upload = client.request("POST", "/", authority="elsewhere")
            upload.send_data(b"some")
            assert upload.response()[":status"] == "404"
            upload.send_data(b"more", end=True)
            assert lives(client, other)

    def test_that_is_answered_before_its_end(self, serve: Serve2) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await echo(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 413, "headers": []})
            await send({"type": "http.response.body", "body": b"no"})

        served = serve(app, ws_max_queue=None, **SLOW)
        with served.connect() as client:
            other = client.open()
            upload = client.request("POST", "/")
            upload.send_data(b"some")
            assert upload.response()[":status"] == "413"
            client.until(lambda: upload.ended)
            upload.send_data(b"more", end=True)
            assert lives(client, other)
