"""`required=True`: a connection that cannot be kept alive is refused, and the log says why."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout, KeepaliveUnsupported
from asgi_keepalive.extension import Event
from asgi_keepalive.servers import granian
from asgi_keepalive.servers.advice import Advice
from asgi_keepalive.verdict import REFUSED

from ..support.client import Client
from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, Puppet, accepted, elapsed, in_no_time, ticks
from ..support.middleware import UNSUPPORTED, Recorder, unused
from ..support.process import started
from ..support.server import running
from ..support.serving import serving
from ..support.timeouts import FAILED

REFUSAL = {"type": "websocket.close", "code": 1011, "reason": "keepalive is required"}
FAKE = UNSUPPORTED.format("tests.support.fake_loop.FakeServer").removeprefix("keepalive is ")
ERROR = f"192.0.2.1:50000 /chat: refused, as keepalive is required, but {FAKE}"


class TestBeforeAccept:
    @in_no_time
    async def test_application_is_not_called(self, caplog: pytest.LogCaptureFixture) -> None:
        app = Recorder()
        middleware = KeepaliveMiddleware(app, required=True)
        for count in 1, 2:  # each is logged
            server = FakeServer(middleware, extensions={})
            await server.task
            assert server.incoming.empty()  # the handshake has been received
            assert server.sent == [REFUSAL]
            assert caplog.record_tuples == [("asgi_keepalive", logging.ERROR, ERROR)] * count
        assert app.calls == []
        assert elapsed() == 0

    @in_no_time
    async def test_supported_one_runs(self, caplog: pytest.LogCaptureFixture) -> None:
        _, app = await accepted(**TIMES, required=True)
        assert app.keepalive.supported
        assert await app.receive() == FAILED
        assert [record.levelno for record in caplog.records] == []

    @in_no_time
    async def test_other_scopes_run(self) -> None:
        app = Recorder()
        await KeepaliveMiddleware(app, required=True)({"type": "http"}, unused, unused)
        assert len(app.calls) == 1

    @in_no_time
    async def test_client_that_has_left_is_sent_nothing(self) -> None:
        server = FakeServer(KeepaliveMiddleware(Recorder(), required=True), extensions={})
        server.incoming.get_nowait()
        server.disconnect(1006)
        await server.task
        assert server.sent == []

    @in_no_time
    async def test_client_that_leaves_meanwhile_is_no_error(self) -> None:
        server = FakeServer(KeepaliveMiddleware(Recorder(), required=True), extensions={})
        server.is_open = False
        await server.task
        assert server.sent == []

    @pytest.mark.parametrize("task", [None, object()])
    def test_other_loops_and_tasks(self, task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing of asyncio is used where an application does not run in one of its tasks."""
        events: list[Event] = []

        async def receive() -> Event:
            return {"type": "websocket.connect"}

        async def send(event: Event) -> None:
            events.append(event)

        if task is not None:
            monkeypatch.setattr(asyncio, "current_task", lambda: task)
        app = KeepaliveMiddleware(Recorder(), required=True)
        with pytest.raises(StopIteration):
            app({"type": "websocket"}, receive, send).send(None)
        assert events == [REFUSAL]


class TestAfterAccept:
    @staticmethod
    def inside() -> Any:
        async def router(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await KeepaliveMiddleware(Recorder(), required=True)(scope, receive, send)

        return router

    @in_no_time
    async def test_silent_client(self) -> None:
        server = FakeServer(self.inside(), extensions={})
        await server.task
        assert server.sent[1:] == [REFUSAL]
        assert elapsed() == 1  # in which no handshake has come

    @in_no_time
    async def test_client_that_sends(self) -> None:
        server = FakeServer(self.inside(), extensions={})
        server.text("x")
        await server.task
        assert server.sent[1:] == [REFUSAL]
        assert elapsed() == 0


class TestNested:
    @staticmethod
    def nested(app: Any, outer: dict[str, Any], inner: dict[str, Any], **server: Any) -> FakeServer:
        wrapped = KeepaliveMiddleware(KeepaliveMiddleware(app, **inner), **outer)
        return FakeServer(wrapped, **server)

    @in_no_time
    async def test_inner_one(self, caplog: pytest.LogCaptureFixture) -> None:
        app = Recorder()
        server = self.nested(app, {}, {"required": True}, extensions={})
        await server.task
        assert (server.sent, app.calls) == ([REFUSAL], [])
        assert caplog.record_tuples == [
            ("asgi_keepalive", logging.WARNING, f"keepalive is {FAKE}"),
            ("asgi_keepalive", logging.ERROR, ERROR),
        ]

    @in_no_time
    async def test_outer_one(self) -> None:
        server = self.nested(Recorder(), {"required": True}, {}, extensions={})
        await server.task
        assert server.sent == [REFUSAL]

    @pytest.mark.parametrize("requires", ["outer", "inner"])
    @in_no_time
    async def test_either_is_enough_to_fail_later(self, requires: str) -> None:
        app = Puppet()
        settings = {one: {**TIMES, "required": one == requires} for one in ("outer", "inner")}
        server = self.nested(app, settings["outer"], settings["inner"])
        refuse(server)
        await ticks()
        app.keepalive.configure(ping_timeout=5)  # which changes nothing about it
        assert await app.receive() == FAILED

    @in_no_time
    async def test_inner_one_where_pings_have_been_refused(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def router(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(50)
            await KeepaliveMiddleware(Recorder(), required=True)(scope, receive, send)

        server = FakeServer(KeepaliveMiddleware(router, **TIMES))
        refuse(server)
        await server.task
        assert server.sent[1:] == [REFUSAL]
        assert caplog.messages[-1] == (
            "192.0.2.1:50000 /chat: refused, as keepalive is required, but off: the server has "
            "refused two Pings in a row"
        )


def refuse(server: FakeServer) -> None:
    def refuse() -> None:
        raise RuntimeError("no")

    server.on_ping = refuse


class TestPingsThatAreRefused:
    """Once a connection is open, two in a row fail it, as an overdue Pong does."""

    @in_no_time
    async def test_connection_is_failed(self, caplog: pytest.LogCaptureFixture) -> None:
        server, app = await accepted(**TIMES, required=True)
        refuse(server)
        assert await app.receive() == FAILED
        assert (elapsed(), server.failed_at) == (40, 40)
        assert server.failures == [(1011, "keepalive ping timeout", 10.0)]
        with pytest.raises(KeepaliveTimeout, match="refused two Pings in a row"):
            await app.text("x")
        with pytest.raises(KeepaliveUnsupported):
            await app.keepalive.ping()
        assert app.keepalive.verdict is REFUSED
        assert not app.keepalive.supported
        assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.ERROR]
        assert caplog.messages == [
            "192.0.2.1:50000 /chat: a Ping was refused; if the next is, too, this connection is "
            "failed",
            "192.0.2.1:50000 /chat: failed; refused: the server has refused two Pings in a row, "
            "and keepalive is required",
        ]


@pytest.mark.parametrize("value", [None, 0, 1, "yes", "", [], 1.0], ids=repr)
def test_it_is_a_bool(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    text = f"required must be True or False, not {value!r}"
    with pytest.raises(TypeError) as raised:
        KeepaliveMiddleware(Recorder(), required=value)
    assert str(raised.value) == text
    assert caplog.messages == [f"KeepaliveMiddleware: {text}"]


def test_on_real_servers(ws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them denies the handshake."""
    monkeypatch.setattr("asgi_keepalive.middleware.find", lambda *calls: Advice("why", "it 1.0"))
    app = Recorder()
    wrapped = KeepaliveMiddleware(app, required=True)
    with running(serving(wrapped, ws=ws, loop="asyncio")) as server:
        with Client(server.port) as client:
            assert " 403 " in client.response()
        assert app.calls == []
        [error] = [one.getMessage() for one in server.records if one.levelno >= logging.WARNING]
        assert error == (
            f"127.0.0.1:{client.port} /: refused, as keepalive is required, but off on it 1.0: why"
        )


@pytest.mark.skipif(sys.platform == "win32", reason="starts POSIX processes")
def test_on_granian() -> None:
    command = [sys.executable, "-m", "granian", "tests.support.app:app", "--interface", "asgi"]
    with started(*command, "--port", "PORT", REQUIRED="true") as process:
        for _ in range(2):
            with Client(process.port, path="/receive") as client:
                assert " 403 " in client.response()
    assert process.output.count(f": {granian.ADVICE}\n") == 2
    assert "keepalive is off" not in process.output
    assert "Traceback" not in process.output


def test_on_starlettes_test_client() -> None:
    client = TestClient(KeepaliveMiddleware(Recorder(), required=True))
    with pytest.raises(WebSocketDisconnect) as raised, client.websocket_connect("/"):
        pass
    assert (raised.value.code, raised.value.reason) == (1011, "keepalive is required")
