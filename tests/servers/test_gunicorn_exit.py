"""The exit of gunicorn's own worker: alone, and under the arbiter that kills it."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.servers.gunicorn.adapter import GunicornAdapter

from ..conftest import Reports, Serve
from ..support.applications import accept, code_at_exit, echo
from ..support.client import CLOSE, TEXT, Client, close_code
from ..support.process import started
from ..support.server import kernel_sockets, running, wait_until
from ..support.serving import Gunicorn
from ..support.timeouts import LATE

RETRY = b"\x03\xf4"
"""1012: the client may come back."""


@pytest.fixture
def ws() -> str:
    return "gunicorn"


class TestExit:
    def test_tells_clients_that_they_may_come_back(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await code_at_exit(receive))

        server = serve(app, close_timeout=5)
        with Client(server.port).open() as client:
            server.exit()
            assert client.answer_until(CLOSE) == b"\x03\xf4"
            assert reports.get() == 1012
            assert server.stop() < 1
        assert not server.complaints()

    def test_does_not_wait_for_a_client_that_has_been_failed(
        self, serve: Serve, reports: Reports
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put((await receive())["code"])

        server = serve(app, ping_interval=0.05, close_timeout=20, graceful_timeout=5)
        with Client(server.port).open():
            assert reports.get() == 1011
            assert server.stop() < 1 + LATE
        assert not server.complaints()

    def test_while_an_application_waits_for_the_answer_to_its_close(
        self, serve: Serve, reports: Reports
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.close", "code": 4000})
            reports.put("closed")

        server = serve(app, close_timeout=5)
        with Client(server.port).open() as client:
            assert client.expect(CLOSE) == b"\x0f\xa0"
            assert server.stop() < 1 + LATE
            assert reports.get() == "closed"
            assert client.until_end() == []

    def test_of_a_connection_that_is_not_accepted(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert (await receive())["type"] == "websocket.connect"
            reports.put("connected")
            reports.put((await receive())["code"])

        server = serve(app)
        with Client(server.port) as client:
            assert reports.get() == "connected"
            server.exit()
            assert " 403 " in client.response()  # as by itself
            assert reports.get() == 1012

    def test_quick_one_waits_for_no_client(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            with suppress(OSError):
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(65536)})

        server = serve(app, ping_interval=20, close_timeout=20, graceful_timeout=5)
        assert isinstance(server, Gunicorn)
        with Client(server.port, receive_buffer=4096).open() as frozen:
            wait_until(lambda: kernel_sockets(server.port, frozen.port)[0][1] > 10_000)
            server._worker._quick_shutdown = True  # as SIGINT does
            assert 1 <= server.stop() < 1.5 + LATE
            wait_until(lambda: not kernel_sockets(server.port, frozen.port))

    @pytest.mark.parametrize(("close_timeout", "grace"), [(0.2, 0.8), (20, 0.5)])
    def test_leaves_time_to_the_applications(
        self, serve: Serve, close_timeout: float, grace: float
    ) -> None:
        """As much as `close_timeout` allows, but half of what there is whatever it says."""
        server = serve(echo, close_timeout=close_timeout, graceful_timeout=1.5)
        with Client(server.port).open() as client:
            began = time.monotonic()
            server.exit()
            client.send(TEXT, b"a last word")
            assert client.answer_until(TEXT) == b"a last word"
            assert client.answer_until(CLOSE) == RETRY
            assert time.monotonic() - began >= grace

    def test_shows_the_arbiter_that_it_lives(self, serve: Serve) -> None:
        server = serve(echo)
        assert isinstance(server, Gunicorn)
        with Client(server.port).open() as client:
            server.exit()
            began = server._worker.tmp.last_update()
            client.answer_until(CLOSE)
            assert server._worker.tmp.last_update() - began > 0.1

    def test_goes_on_where_a_connection_cannot_be_closed(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken: list[GunicornAdapter] = []
        close = GunicornAdapter.exit

        def exit(self: GunicornAdapter) -> None:
            if not broken:
                broken.append(self)
                raise RuntimeError("broken")
            close(self)

        monkeypatch.setattr(GunicornAdapter, "exit", exit)
        server = serve(echo, ping_interval=20, expect=("a connection cannot be closed",))
        with Client(server.port).open() as one, Client(server.port).open() as other:
            assert server.stop() < 0.5 + LATE
            assert sorted([one.until_end(), other.until_end()]) == [[], [(CLOSE, RETRY)]]

    def test_ends_the_lifespan_last(self, loop: str, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                reports.put((await receive())["type"])
                await send({"type": "lifespan.shutdown.complete"})
            else:
                await accept(receive, send)
                reports.put((await receive())["code"])

        server = Gunicorn(KeepaliveMiddleware(app), loop=loop, asgi_lifespan="on")
        with running(server), Client(server.port).open():
            server.stop()
            assert [reports.get(), reports.get()] == [1012, "lifespan.shutdown"]


@pytest.mark.skipif(sys.platform == "win32", reason="starts POSIX processes")
@pytest.mark.parametrize(
    ("told", "loop"), [(signal.SIGTERM, "uvloop"), (signal.SIGHUP, "asyncio")], ids=["TERM", "HUP"]
)
def test_under_the_arbiter(told: signal.Signals, loop: str) -> None:
    """It sends SIGKILL once `graceful_timeout` has passed."""
    command = [
        *(sys.executable, "-m", "gunicorn", "tests.support.app:app", "--bind", "127.0.0.1:PORT"),
        *("--worker-class", "asgi", "--asgi-loop", loop, "--graceful-timeout", "2"),
    ]
    with (
        started(*command, PING_INTERVAL="20", PING_TIMEOUT="20") as process,
        Client(process.port, path="/receive").open() as idle,
        Client(process.port, path="/stream").open() as busy,
        Client(process.port, path="/stream", receive_buffer=4096).open() as frozen,
    ):
        for _ in idle, busy, frozen:
            process.told()
        wait_until(lambda: kernel_sockets(process.port, frozen.port)[0][1] > 10_000)
        began = time.monotonic()
        process.popen.send_signal(told)
        assert close_code(busy.until_end()[-1][1])[0] == 1012
        assert close_code(idle.expect(CLOSE))[0] == 1012
        assert sorted(process.told()["code"] for _ in range(3)) == [1006, 1006, 1012]
        wait_until(lambda: not kernel_sockets(process.port, frozen.port))
        assert time.monotonic() - began < 2
        wait_until(lambda: "Worker exiting" in process.output)  # by itself
        assert "Traceback" not in process.output
