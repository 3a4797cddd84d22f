"""Planned ends on real servers: by age, and in a drain, asked for or at the exit."""

from __future__ import annotations

import asyncio
import re
import select
import signal
import ssl
import sys
import time
from math import inf
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import WebSocket

from asgi_keepalive import drain
from asgi_keepalive.servers.uvicorn import joining

from ..conftest import Reports, Serve
from ..support.applications import accept, echo
from ..support.asking import ASKING, next_heartbeat
from ..support.client import CLOSE, TEXT, Client, close_code, frame
from ..support.h2 import HTTP2
from ..support.process import ROOT, started, uvicorn
from ..support.server import Server, kernel_sockets, running, wait_until
from ..support.serving import serving
from ..support.timeouts import LATE

RESTART = (1012, "service restart")
WINDOW = 0.6
COUNT = 3

QUIET = {"ping_interval": 20.0, "ping_timeout": 20.0, "close_timeout": 0.4, "drain_window": WINDOW}
"""Settings with which nothing but the drain ends a connection."""

APP = "tests.support.app:app"
GUNICORN = ["gunicorn", APP, "--bind", "127.0.0.1:PORT", "--graceful-timeout", "4"]
HYPERCORN = ["hypercorn", APP, "--bind", "127.0.0.1:PORT"]

posix = pytest.mark.skipif(sys.platform == "win32", reason="starts POSIX processes")


async def until_told(scope: Any, receive: Any, send: Any) -> Any:
    """Answer until the end, and return it."""
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})
    return event


def exits(server: Server) -> None:
    """Wait until a server that has been told to has exited."""
    server.thread.join(timeout=0.5 + LATE)
    assert not server.thread.is_alive()


@pytest.fixture
def grace(ws: str) -> dict[str, float]:
    """The setting of the server that leaves it long enough."""
    return {"graceful_timeout": 4.0} if ws in {"hypercorn", "gunicorn"} else {}


class TestAskedFor:
    def test_handshake_is_refused(self, ws: str, serve: Serve) -> None:
        server = serve(echo)
        with Client(server.port).open() as client:
            server.run(lambda: asyncio.ensure_future(drain(0)))
            assert close_code(client.answer_until(CLOSE)) == RESTART
            with Client(server.port) as other:
                if ws in {"daphne", "gunicorn"}:
                    other.open()
                    assert close_code(other.expect(CLOSE)) == RESTART
                    assert other.until_end() == []
                else:
                    status, _, headers = other.response().partition("\r\n")
                    assert " 503 " in status
                    assert "retry-after: 0" in headers.lower()

    @pytest.mark.parametrize("ws", ["wsproto"])
    @pytest.mark.parametrize("loop", ["asyncio"])
    def test_as_the_page_about_deployment_does(
        self, ws: str, loop: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DRAIN_TOKEN", "secret")
        page = (ROOT / "docs" / "deployment.md").read_text()
        [code] = re.findall(r"<!-- drain -->\n```python\n(.*?)```", page, re.DOTALL)
        names: dict[str, Any] = {"__name__": "page"}
        exec(code.replace("drain(10)", "drain(0)"), names)
        names["api"].websocket("/")(waits)
        with running(serving(names["app"], ws=ws, loop=loop)) as server:
            base = f"http://127.0.0.1:{server.port}"
            with Client(server.port).open() as client:
                assert httpx.get(f"{base}/ready").status_code == 200
                for token, status in ("wrong", 403), ("secret", 204):
                    headers = {"Authorization": f"Bearer {token}"}
                    assert httpx.post(f"{base}/drain", headers=headers).status_code == status
                assert close_code(client.answer_until(CLOSE)) == RESTART
            assert httpx.get(f"{base}/ready").status_code == 503


async def waits(websocket: WebSocket) -> None:
    """It waits until it is told of the end."""
    await websocket.accept()
    await websocket.receive()


class TestExit:
    def test_one_after_another(self, serve: Serve, reports: Reports, grace: Any) -> None:
        async def app(*call: Any) -> None:
            reports.put(await until_told(*call))

        server = serve(app, **QUIET, **grace)
        clients = [Client(server.port).open() for _ in range(COUNT)]
        for client in clients:
            client.send(TEXT, b"hello")
            assert client.answer_until(TEXT) == b"hello"
        began = time.monotonic()
        server.exit()
        for number in range(COUNT):
            told = reports.get()
            assert (told["code"], told["reason"]) == RESTART
            assert time.monotonic() - began > number * WINDOW / COUNT - 0.01
        for client in clients:
            assert close_code(client.answer_until(CLOSE)) == RESTART
            assert client.until_end() == []
            client.close()
        exits(server)
        assert not server.complaints()

    def test_frozen_peer(self, serve: Serve, grace: Any) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            while True:
                await send({"type": "websocket.send", "bytes": bytes(65536)})

        server = serve(app, **{**QUIET, "drain_window": 0.0}, **grace)
        with Client(server.port, receive_buffer=4096).open() as frozen:
            wait_until(lambda: kernel_sockets(server.port, frozen.port)[0][1] > 10_000)
            server.exit()
            exits(server)
            wait_until(lambda: not kernel_sockets(server.port, frozen.port))
        assert not server.complaints()

    def test_application_that_closes_by_itself(self, serve: Serve, grace: Any) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await receive()
            await send({"type": "websocket.close", "code": 4000})

        server = serve(app, **QUIET, **grace)
        with Client(server.port).open() as first, Client(server.port).open() as second:
            server.exit()
            frames = []
            for client in first, second:
                client.send(TEXT, b"go")
            for client in first, second:
                frames.append(close_code(client.answer_until(CLOSE)))
                assert client.until_end() == []
        assert (4000, "") in frames
        exits(server)


class TestMaxAge:
    @pytest.mark.parametrize("loop", ["asyncio"])
    def test_in_the_midst_of_a_message(self, serve: Serve, reports: Reports) -> None:
        async def app(*call: Any) -> None:
            reports.put(await until_told(*call))

        server = serve(app, **{**QUIET, "max_age": 0.5})
        began = time.monotonic()
        with Client(server.port).open() as client:
            client.socket.sendall(frame(TEXT, b"a part", fin=False))
            assert close_code(client.expect(CLOSE)) == (1001, "max age")
            assert 0.45 <= time.monotonic() - began < 0.5 + LATE
            client.socket.sendall(frame(0, b"the rest") + frame(CLOSE, b"\x03\xe9"))
            assert client.until_end() == []
        assert (told := reports.get()) == {**told, "code": 1001, "reason": "max age"}

    @pytest.mark.parametrize("loop", ["asyncio"])
    def test_page_is_told_before(self, serve: Serve) -> None:
        server = serve(until_told, **{**QUIET, "max_age": 0.5, "notice": 0.2})
        with Client(server.port, path=ASKING).open() as client:
            assert "reconnectAfter" not in next_heartbeat(client)
            assert next_heartbeat(client)["reconnectAfter"] == 0
            assert close_code(client.expect(CLOSE)) == (1001, "max age")


def forget_requests(server: Any) -> None:
    """Do what daphne does once a second: before that, it cancels no application at its exit."""
    server.run(server._server.application_checker)


@pytest.mark.parametrize("ws", ["daphne"])
@pytest.mark.parametrize("loop", ["asyncio"])
class TestDaphne:
    @pytest.mark.parametrize("is_older", [False, True])
    def test_application_that_goes_on(self, serve: Serve, reports: Reports, is_older: bool) -> None:
        """It is cancelled, as without a drain, but not before it has had its time."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                await asyncio.sleep(20)
            except asyncio.CancelledError:
                reports.put(time.monotonic())
                raise

        server = serve(app, **{**QUIET, "drain_window": 20.0})
        with Client(server.port).open() as one, Client(server.port).open() as other:
            if is_older:
                forget_requests(server)
            server.exit()
            select.select([one.socket, other.socket], [], [], 10)  # the first is closed
            began = time.monotonic()
        for _ in range(2):  # the peer of the second has left
            assert 0.3 < reports.get() - began < 0.4 + LATE
        exits(server)

    def test_application_that_raises(self, serve: Serve) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            raise RuntimeError("broken")

        server = serve(app, **QUIET, expect=("Exception inside application: broken",))
        with Client(server.port).open() as client:
            assert close_code(client.expect(CLOSE))[0] == 1011

    def test_connection_that_is_not_accepted(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            reports.put("waits")
            try:
                await receive()
            except asyncio.CancelledError:
                reports.put("cancelled")
                raise

        server = serve(app, **QUIET)
        with Client(server.port):
            assert reports.get() == "waits"
            forget_requests(server)
            server.exit()
            assert reports.get() == "cancelled"
            exits(server)


@pytest.mark.parametrize("ws", ["hypercorn"])
@pytest.mark.parametrize("loop", ["asyncio"])
class TestHypercorn:
    def test_http_2(self, serve: Serve, tls: ssl.SSLContext, tls_config: dict[str, str]) -> None:
        server = serve(echo, **QUIET, graceful_timeout=4.0, **tls_config)
        with HTTP2(server.port, tls=tls) as client:
            streams = [client.open("/") for _ in range(2)]
            server.exit()
            for stream in streams:
                assert close_code(stream.expect(CLOSE)) == RESTART
        exits(server)

    def test_worker_in_a_thread(self, serve: Serve) -> None:
        """It cannot catch SIGTERM."""
        server: Any = serve(echo, **QUIET)
        server.config.workers = 2
        with Client(server.port).open() as client:
            client.send(TEXT, b"hello")
            assert client.answer_until(TEXT) == b"hello"


class TestUvicorn:
    """The time that uvicorn leaves to its connections."""

    @pytest.mark.parametrize(
        ("own", "graceful", "timeout", "expected"),
        [(None, 30, 30, 29), (None, 30, 0, 29), (None, 30, 20, 19), (5, 30, 30, 5), (5, 0, 9, 0)],
    )
    def test_under_gunicorn(
        self, own: float | None, graceful: int, timeout: int, expected: float
    ) -> None:
        class Worker:
            cfg = SimpleNamespace(graceful_timeout=graceful, timeout=timeout)

            def notify(self) -> None:
                notified.append(self)

            def callback_notify(self) -> None: ...

        notified: list[Any] = []
        config = SimpleNamespace(
            timeout_graceful_shutdown=own, callback_notify=Worker().callback_notify
        )
        assert joining._grace(config) == expected
        assert notified

    @pytest.mark.parametrize(("own", "expected"), [(None, inf), (5, 5)])
    def test_alone(self, own: float | None, expected: float) -> None:
        config = SimpleNamespace(timeout_graceful_shutdown=own, callback_notify=None)
        assert joining._grace(config) == expected


@posix
@pytest.mark.parametrize(
    "command",
    [
        uvicorn(),
        uvicorn("--workers", "2"),
        [sys.executable, "-m", *GUNICORN, "-k", "asgi", "--workers", "2"],
        [sys.executable, "-m", *GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "--workers", "2"],
        [sys.executable, "-m", *HYPERCORN],
        [sys.executable, "-m", *HYPERCORN, "--workers", "2"],
        [sys.executable, "-m", "daphne", APP, "--port", "PORT"],
    ],
    ids=[
        *("uvicorn", "uvicorn-workers", "gunicorn", "gunicorn-uvicorn"),
        *("hypercorn", "hypercorn-workers", "daphne"),
    ],
)
def test_sigterm(command: list[str]) -> None:
    workers = 2 if "--workers" in command else 1
    with started(*command, PING_INTERVAL="20", DRAIN_WINDOW=str(WINDOW)) as process:
        process.wait_for_workers(workers)
        clients = [Client(process.port, path="/receive").open() for _ in range(4)]
        pids = {process.told()["pid"] for _ in clients}
        process.popen.send_signal(signal.SIGTERM)
        for client in clients:
            assert close_code(client.expect(CLOSE)) == RESTART
            assert client.until_end() == []
            client.close()
        expected = {"code": 1012, "reason": "service restart", "timed_out": False}
        assert [process.told() for _ in clients] == [expected] * len(clients)
        assert process.popen.wait(timeout=10) in {0, -signal.SIGTERM}
        assert process.output.count("drained: ") == len(pids)
        assert "Traceback" not in process.output
        assert "ERROR" not in process.output
