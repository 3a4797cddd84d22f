"""`KeepaliveMiddleware` among applications, frameworks, and others of its kind."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_keepalive import (
    Keepalive,
    KeepaliveMiddleware,
    KeepaliveTimeout,
    KeepaliveUnsupported,
    get_keepalive,
)
from asgi_keepalive.extension import Application, Scope, Server
from asgi_keepalive.servers.advice import Advice
from asgi_keepalive.settings import Settings

from .support.fake_loop import FakeServer, Puppet, elapsed, fake_loop, in_no_time, ticks

UNSUPPORTED = (
    "keepalive is off: receive and send come from {}, and not from a server that gives access to "
    "its Ping and Pong frames. uvicorn, hypercorn and daphne do: on one of them, put "
    "KeepaliveMiddleware around everything else"
)
TIMES: dict[str, Any] = {"ping_interval": 20, "ping_timeout": 10}


async def unused(*args: Any) -> Any:
    raise AssertionError("never called")


class Recorder:
    """An application that only notes what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append((scope, receive, send))


class TestScope:
    @pytest.mark.parametrize("kind", ["http", "lifespan", "webtransport"])
    @in_no_time
    async def test_other_types_pass_untouched(self, kind: str) -> None:
        app = Recorder()
        scope = {"type": kind, "state": {"keepalive": "mine"}, "extensions": {"websocket.ping": {}}}
        before = {**scope}
        await KeepaliveMiddleware(app)(scope, unused, unused)
        [(passed, receive, send)] = app.calls
        assert (passed, receive, send) == (scope, unused, unused)
        assert passed is scope
        assert scope == before

    @in_no_time
    async def test_websocket(self) -> None:
        app = Recorder()
        state = {"database": object()}
        server = FakeServer(KeepaliveMiddleware(app), state=state)
        before = {**server.scope}
        await server.task
        [(scope, _, _)] = app.calls
        assert scope["extensions"] == {"websocket.http.response": {}}
        assert scope["state"] is state
        assert isinstance(state["keepalive"], Keepalive)
        changed = {key for key in before if scope[key] is not before[key]}
        assert changed == {"extensions"}
        # The server's own is left alone, so that it can be used again.
        assert server.scope == before
        assert "websocket.ping" in server.scope["extensions"]

    @in_no_time
    async def test_server_without_state(self) -> None:
        app = Recorder()
        server = FakeServer(KeepaliveMiddleware(app))
        del server.scope["state"]
        await server.task
        [(scope, _, _)] = app.calls
        assert list(scope["state"]) == ["keepalive"]
        assert "state" not in server.scope

    @in_no_time
    async def test_foreign_object_under_the_key_is_refused(self) -> None:
        app = Recorder()
        server = FakeServer(KeepaliveMiddleware(app), state={"keepalive": {"mine": 1}})
        with pytest.raises(TypeError) as raised:
            await server.task
        assert str(raised.value) == (
            'scope["state"]["keepalive"] is the place of KeepaliveMiddleware, '
            "but it holds {'mine': 1}"
        )
        assert app.calls == []


class TestNested:
    @staticmethod
    async def accepted(
        outer: dict[str, Any], inner: dict[str, Any], **server: Any
    ) -> tuple[FakeServer, Puppet]:
        app = Puppet()
        wrapped = KeepaliveMiddleware(KeepaliveMiddleware(app, **inner), **outer)
        connection = FakeServer(wrapped, **server)
        await ticks()
        return connection, app

    @in_no_time
    async def test_inner_settings_win(self) -> None:
        server, app = await self.accepted(
            TIMES, {"ping_interval": 5, "ping_timeout": 2, "close_timeout": 1}
        )
        await app.receive()
        assert (server.pinged_at, server.failed_at) == ([5], 7)
        assert server.failures[0]["timeout"] == server.sent[0]["close_timeout"] == 1

    @in_no_time
    async def test_inner_defaults_win_too(self) -> None:
        server, app = await self.accepted({"ping_interval": 1, "ping_timeout": 1}, {})
        await app.receive()
        assert (server.pinged_at, server.failed_at) == ([20], 40)
        assert app.keepalive.ping_interval == 20

    @in_no_time
    async def test_nothing_is_doubled(self) -> None:
        server, app = await self.accepted(TIMES, TIMES, pong_after=1)
        await asyncio.sleep(110)
        assert server.pinged_at == [20, 40, 60, 80, 100]
        app.returns()
        await server.task
        assert fake_loop().timers() == []

    @in_no_time
    async def test_inner_one_around_a_connection_that_is_open_already(self) -> None:
        """From then on, with what is in flight as it is."""

        async def router(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(25)
            await KeepaliveMiddleware(app, ping_interval=2, ping_timeout=1)(scope, receive, send)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        server = FakeServer(KeepaliveMiddleware(router, **TIMES))
        fake_loop().call_later(28, lambda: server.pong(server.pings[0]["bytes"]))
        await server.task
        assert server.pinged_at == [20, 28]
        assert server.failed_at == 29

    @in_no_time
    async def test_inner_one_that_is_due_earlier(self) -> None:
        async def router(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(3)
            await KeepaliveMiddleware(app, ping_interval=5, ping_timeout=2)(scope, receive, send)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        server = FakeServer(KeepaliveMiddleware(router, **TIMES))
        await server.task
        assert (server.pinged_at, server.failed_at) == ([5], 7)

    @in_no_time
    async def test_inner_one_that_turns_it_off(self) -> None:
        server, app = await self.accepted(TIMES, {"ping_interval": None}, pong_after=1)
        await asyncio.sleep(1000)
        assert server.pings == []
        assert await app.keepalive.ping() == 1

    @in_no_time
    async def test_timeout_passes_the_inner_one_and_ends_in_the_outer(self) -> None:
        _, app = await self.accepted(TIMES, {"ping_timeout": 1})
        await asyncio.sleep(22)
        with pytest.raises(KeepaliveTimeout):
            await app.text("x")

    @in_no_time
    async def test_on_an_unsupported_server(self, caplog: pytest.LogCaptureFixture) -> None:
        _, app = await self.accepted(TIMES, {"ping_timeout": 1}, extensions={})
        assert not app.keepalive.supported
        assert app.keepalive.ping_timeout == 1
        assert caplog.messages == [UNSUPPORTED.format("tests.support.fake_loop.FakeServer")]


class TestUnsupportedServer:
    """P10."""

    @pytest.mark.parametrize("extensions", [None, {}, {"websocket.http.response": {}}])
    @in_no_time
    async def test_application_runs_as_if_unwrapped(self, extensions: Any) -> None:
        app = Recorder()
        scope = {"type": "websocket", "extensions": extensions}
        await KeepaliveMiddleware(app)(scope, unused, unused)
        [(passed, receive, send)] = app.calls
        assert (receive, send) == (unused, unused)
        assert {**passed, "state": None} == {**scope, "state": None}
        keepalive = get_keepalive(passed)
        assert not keepalive.supported
        with pytest.raises(KeepaliveUnsupported):
            await keepalive.ping()

    @in_no_time
    async def test_one_warning_per_middleware(self, caplog: pytest.LogCaptureFixture) -> None:
        scope: Scope = {"type": "websocket"}
        first, second = KeepaliveMiddleware(Recorder()), KeepaliveMiddleware(Recorder())
        await first({**scope}, unused, unused)
        await first({**scope}, unused, unused)
        warning = UNSUPPORTED.format("tests.test_middleware.unused")
        assert caplog.record_tuples == [("asgi_keepalive", logging.WARNING, warning)]
        await second({**scope}, unused, unused)
        assert caplog.messages == [warning] * 2

    @in_no_time
    async def test_no_warning_without_websockets(self, caplog: pytest.LogCaptureFixture) -> None:
        await KeepaliveMiddleware(Recorder())({"type": "http"}, unused, unused)
        assert caplog.records == []

    @in_no_time
    async def test_bound_method_of_an_unknown_object(self) -> None:
        app = Recorder()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        await KeepaliveMiddleware(app)({"type": "websocket"}, queue.get, queue.put)
        assert not get_keepalive(app.calls[0][0]).supported


class TestEarlyStart:
    """Eager tasks run an application before its server has the connection complete."""

    @pytest.fixture
    def looks(self, monkeypatch: pytest.MonkeyPatch) -> list[str | Server]:
        """What each look for the server finds, the last first."""
        calls: list[Any] = [unused] * 6
        looks: list[str | Server] = [Server(*calls), Advice("not yet")]
        monkeypatch.setattr("asgi_keepalive.middleware.extend", lambda *calls: looks.pop())
        return looks

    @in_no_time
    async def test_server_is_looked_for_again(self, looks: list[str | Server]) -> None:
        app = Recorder()
        asyncio.get_running_loop().set_task_factory(
            lambda loop, coroutine, **options: asyncio.Task(coroutine, loop=loop, **options)
        )
        await KeepaliveMiddleware(app)({"type": "websocket"}, unused, unused)
        assert get_keepalive(app.calls[0][0]).supported
        assert looks == []

    @in_no_time
    async def test_but_not_where_tasks_begin_late(self, looks: list[str | Server]) -> None:
        app = Recorder()
        await KeepaliveMiddleware(app)({"type": "websocket"}, unused, unused)
        assert not get_keepalive(app.calls[0][0]).supported
        assert len(looks) == 1

    def test_nor_on_another_event_loop(self, looks: list[str | Server]) -> None:
        app = Recorder()
        running = KeepaliveMiddleware(app)({"type": "websocket"}, unused, unused)
        with pytest.raises(StopIteration):
            running.send(None)
        assert not get_keepalive(app.calls[0][0]).supported
        assert len(looks) == 1


class TestErrors:
    @in_no_time
    async def test_own_timeout_is_swallowed(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await asyncio.sleep(100)
            await send({"type": "websocket.send", "text": "x"})

        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        await server.task
        assert elapsed() == 100

    @in_no_time
    async def test_own_timeout_of_a_ping_is_swallowed(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await asyncio.sleep(25)
            await get_keepalive(scope).ping()

        await FakeServer(KeepaliveMiddleware(app, **TIMES)).task
        assert elapsed() == 30

    @in_no_time
    async def test_own_timeout_in_groups_is_swallowed(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            own = KeepaliveTimeout(get_keepalive(scope))
            raise BaseExceptionGroup("outer", [own, ExceptionGroup("inner", [own, own])])

        await FakeServer(KeepaliveMiddleware(app)).task

    @in_no_time
    async def test_timeout_of_another_connection_is_not(self) -> None:
        """An application that forwards from one to another has to deal with it."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise error

        timeout = KeepaliveTimeout(Keepalive(Settings()))
        for error in timeout, ExceptionGroup("group", [timeout]):
            assert await _raised(app) is error

    @pytest.mark.parametrize("other", [ValueError("mine"), asyncio.CancelledError()])
    @in_no_time
    async def test_mixed_group_is_raised_whole(self, other: BaseException) -> None:
        group: BaseExceptionGroup[BaseException]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal group
            own = KeepaliveTimeout(get_keepalive(scope))
            group = BaseExceptionGroup("group", [own, BaseExceptionGroup("inner", [other])])
            raise group

        raised = await _raised(app)
        assert raised is group
        assert len(group.exceptions) == 2

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("mine"),
            ConnectionResetError(),
            WebSocketDisconnect(1006),
            ExceptionGroup("mine", [ValueError()]),
            asyncio.CancelledError("mine"),
            SystemExit(3),
        ],
        ids=repr,
    )
    @in_no_time
    async def test_other_errors_are_untouched(self, error: BaseException) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise error

        assert await _raised(app) is error
        assert error.__cause__ is None

    @in_no_time
    async def test_error_that_the_timeout_caused_is_the_applications(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            raise RuntimeError from KeepaliveTimeout(get_keepalive(scope))

        assert type(await _raised(app)) is RuntimeError


async def _raised(app: Application) -> BaseException | None:
    """Return what leaves the middleware around an application, not just its task."""
    raised: BaseException | None = None

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        nonlocal raised
        try:
            await KeepaliveMiddleware(app)(scope, receive, send)
        except BaseException as error:
            raised = error

    await FakeServer(outside).task
    return raised


class TestApplications:
    @in_no_time
    async def test_asgi_2_application_that_says_so(self) -> None:
        class Asgi2:
            _asgi_double_callable = True

            def __init__(self, scope: Any) -> None:
                self.scope = scope

            async def __call__(self, receive: Any, send: Any) -> None:
                calls.append((self.scope["type"], receive, send))

        calls: list[Any] = []
        app: Any = Asgi2
        await KeepaliveMiddleware(app)({"type": "http"}, unused, unused)
        assert calls == [("http", unused, unused)]

    @in_no_time
    async def test_starlettes_endpoint_class(self) -> None:
        """It looks like an ASGI 2 application, but is not one."""

        class Endpoint(WebSocketEndpoint):
            async def on_connect(self, websocket: WebSocket) -> None:
                await websocket.accept()
                connected.append(get_keepalive(websocket).supported)

        connected: list[bool] = []
        server = FakeServer(KeepaliveMiddleware(Endpoint), query_string=b"", headers=[])
        await ticks()
        server.disconnect(1000)
        await server.task
        assert connected == [True]

    @in_no_time
    async def test_fastapi_on_a_dead_peer(self) -> None:
        app = FastAPI()
        app.add_middleware(KeepaliveMiddleware, **TIMES)

        @app.websocket("/chat")
        async def chat(websocket: WebSocket) -> None:
            await websocket.accept()
            with pytest.raises(WebSocketDisconnect) as raised:
                await websocket.receive_text()
            report.append((raised.value.code, raised.value.reason, elapsed()))
            report.append(websocket.state.keepalive is get_keepalive(websocket))

        report: list[Any] = []
        server = FakeServer(app, query_string=b"", headers=[])
        await server.task
        assert report == [(1011, "keepalive ping timeout", 30), True]

    @in_no_time
    async def test_starlette_that_only_sends(self) -> None:
        """Its `WebSocket.send` makes a `WebSocketDisconnect` of any `OSError`."""

        async def chat(websocket: WebSocket) -> None:
            await websocket.accept()
            await asyncio.sleep(35)
            with pytest.raises(WebSocketDisconnect) as raised:
                await websocket.send_text("x")
            report.append(raised.value.code)
            assert isinstance(raised.value.__context__, KeepaliveTimeout)

        report: list[int] = []
        app = Starlette(
            routes=[WebSocketRoute("/chat", chat)],
            middleware=[Middleware(KeepaliveMiddleware, **TIMES)],
        )
        await FakeServer(app, query_string=b"", headers=[]).task
        assert report == [1006]


async def echo(websocket: WebSocket) -> None:
    assert not websocket.state.keepalive.supported
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close(4000, "mine")


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_connect(self, websocket: WebSocket) -> None:
        assert not get_keepalive(websocket).supported
        await websocket.accept()

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text(data)
        await websocket.close(4000, "mine")


KEEPALIVE = [Middleware(KeepaliveMiddleware, ping_interval=1)]


class TestStarlettesTestClient:
    """It is a server without the extension: applications can be tested as before."""

    @pytest.mark.parametrize(
        "route",
        [
            WebSocketRoute("/ws", echo, middleware=KEEPALIVE),
            WebSocketRoute("/ws", Echo, middleware=KEEPALIVE),
            Mount("/", routes=[WebSocketRoute("/ws", echo)], middleware=KEEPALIVE),
            Mount("/", KeepaliveMiddleware(Echo)),
        ],
        ids=["function", "endpoint class", "mount", "mounted application"],
    )
    def test_around_a_route(self, route: WebSocketRoute | Mount) -> None:
        self.talk(Starlette(routes=[route]))

    @pytest.mark.parametrize("endpoint", [echo, Echo])
    def test_around_an_application(self, endpoint: Any) -> None:
        app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
        app.add_middleware(KeepaliveMiddleware, ping_interval=1)
        self.talk(app)

    def test_around_fastapi(self) -> None:
        app = FastAPI()
        app.add_middleware(KeepaliveMiddleware, ping_interval=1)
        app.add_api_websocket_route("/ws", echo)
        self.talk(app)

    def test_around_everything(self) -> None:
        self.talk(KeepaliveMiddleware(Starlette(routes=[WebSocketRoute("/ws", echo)])))

    def test_http_and_lifespan(self) -> None:
        async def hello(request: Any) -> Response:
            return Response("hello")

        app = Starlette(routes=[Route("/", hello)])
        app.add_middleware(KeepaliveMiddleware)
        with TestClient(app) as client:
            assert client.get("/").text == "hello"

    @staticmethod
    def talk(app: Any) -> None:
        with TestClient(app) as client, client.websocket_connect("/ws") as websocket:
            websocket.send_text("hello")
            assert websocket.receive_text() == "hello"
            with pytest.raises(WebSocketDisconnect) as raised:
                websocket.receive_text()
            assert (raised.value.code, raised.value.reason) == (4000, "mine")


@pytest.mark.parametrize("make", [FastAPI, Starlette])
def test_bad_settings_stop_the_startup_and_are_logged(
    make: type[Starlette], caplog: pytest.LogCaptureFixture
) -> None:
    """Frameworks build their middleware as late as that."""
    text = "ping_timeout must be a positive number of seconds or None, not 0"
    app = make()
    app.add_middleware(KeepaliveMiddleware, ping_timeout=0)
    with pytest.raises(ValueError, match=f"^{text}$"), TestClient(app):
        pass
    assert ("asgi_keepalive", logging.ERROR, text) in caplog.record_tuples
