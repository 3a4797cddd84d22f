"""What an application finds in `scope["state"]["keepalive"]`, and the errors it may meet there."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from asgi_keepalive import (
    ConnectionClosed,
    Keepalive,
    KeepaliveError,
    KeepaliveMiddleware,
    KeepaliveTimeout,
    KeepaliveUnsupported,
    PingTimeout,
    get_keepalive,
)
from asgi_keepalive.settings import Settings

from .support.applications import accept
from .support.fake_loop import FakeServer, accepted, in_no_time


class TestKeepalive:
    @pytest.mark.parametrize(
        "name",
        [
            "supported",
            "latency",
            "statistics",
            "timed_out",
            "verdict",
            "ping_interval",
            "ping_timeout",
            "close_timeout",
            "liveness",
            "ends_at",
            "max_age",
            "unknown",
        ],
    )
    def test_attributes_are_read_only(self, name: str) -> None:
        with pytest.raises(AttributeError):
            setattr(Keepalive(Settings()), name, 1)

    def test_settings_can_be_read(self) -> None:
        keepalive = Keepalive(Settings(1, None, 0))
        assert keepalive.ping_interval == 1
        assert keepalive.ping_timeout is None
        assert keepalive.close_timeout == 0
        assert keepalive.liveness == "pong"

    @in_no_time
    async def test_from_the_beginning_to_the_end_of_a_connection(self) -> None:
        server, app = await accepted(ping_interval=20, ping_timeout=10, pong_after=0.5)
        keepalive = app.keepalive

        def state() -> tuple[object, ...]:
            return keepalive.supported, keepalive.latency, keepalive.timed_out

        assert state() == (True, None, False)
        await asyncio.sleep(30)
        assert state() == (True, 0.5, False)
        server.pong_after = None
        await app.receive()
        assert state() == (True, 0.5, True)
        app.returns()
        await server.task
        assert state() == (True, 0.5, True)
        with pytest.raises(KeepaliveTimeout, match=r"^keepalive ping timeout, silent: "):
            await keepalive.ping()

    @in_no_time
    async def test_shows_itself(self) -> None:
        settings = (
            "ping_interval=20, ping_timeout=10, close_timeout=10.0, liveness='pong', "
            "required=False, max_age=None, notice=5.0, drain_window=None"
        )
        server, app = await accepted(ping_interval=20, ping_timeout=10, pong_after=0.5)

        def shows(state: str, latency: str) -> bool:
            return repr(app.keepalive) == f"<Keepalive: {state}; latency {latency}; {settings}>"

        assert shows("kept alive", "unknown")
        await asyncio.sleep(30)
        assert shows("kept alive", "0.5 s")
        server.pong_after = None
        await app.receive()
        assert shows("failed, silent: no Pong has come", "0.5 s")
        app.returns()
        await server.task
        assert shows("failed, silent: no Pong has come", "0.5 s")

    @in_no_time
    async def test_shows_before_and_after_and_without_a_connection(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            keepalive.append(get_keepalive(scope))
            assert repr(keepalive[0]).startswith("<Keepalive: not accepted yet; ")

        keepalive: list[Keepalive] = []
        await FakeServer(KeepaliveMiddleware(app)).task
        assert repr(keepalive[0]).startswith("<Keepalive: closed; latency unknown; ")
        assert repr(Keepalive(Settings())).startswith("<Keepalive: off: this server gives no acc")

    @in_no_time
    async def test_unsupported(self) -> None:
        keepalive = Keepalive(Settings())
        assert not keepalive.supported
        assert keepalive.latency is None
        with pytest.raises(KeepaliveUnsupported) as raised:
            await keepalive.ping()
        assert str(raised.value) == (
            "ping() must not be called where `supported` is false: keepalive is off: this server "
            "gives no access to Ping and Pong frames"
        )

    def test_unsupported_says_why_and_what_to_do(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            with pytest.raises(KeepaliveUnsupported) as raised:
                await get_keepalive(scope).ping()
            told.append(str(raised.value))
            await accept(receive, send)

        told: list[str] = []
        with TestClient(KeepaliveMiddleware(app)).websocket_connect("/"):
            pass
        [text] = told
        assert text.startswith("ping() must not be called where `supported` is false: keepalive is")
        assert text.endswith("put a Peer of asgi_keepalive.testing around the application")


async def unused(*args: Any) -> Any:
    raise AssertionError("never called")


class TestGetKeepalive:
    def test_from_all_that_has_the_scope(self) -> None:
        keepalive = Keepalive(Settings())
        scope = {"type": "websocket", "state": {"keepalive": keepalive}}
        assert get_keepalive(scope) is keepalive
        websocket = WebSocket(scope, unused, unused)
        assert get_keepalive(websocket) is keepalive
        assert websocket.state.keepalive is keepalive
        # Django Channels' consumers, for instance.
        assert get_keepalive(SimpleNamespace(scope=scope)) is keepalive

    @pytest.mark.parametrize("state", [{}, {"state": {}}, {"state": None}, {"state": {"a": 1}}])
    def test_without_the_middleware(self, state: dict[str, Any]) -> None:
        websocket = WebSocket({"type": "websocket", **state}, unused, unused)
        for connection in state, SimpleNamespace(scope=state), websocket:
            with pytest.raises(LookupError) as raised:
                get_keepalive(connection)
            assert type(raised.value) is LookupError
            assert raised.value.args == (
                "there is no keepalive in this scope, as KeepaliveMiddleware is not around the "
                "application: say app.add_middleware(KeepaliveMiddleware) or "
                "KeepaliveMiddleware(app)",
            )

    @pytest.mark.parametrize("kind", ["http", "lifespan"])
    def test_of_another_scope(self, kind: str) -> None:
        scope = {"type": kind, "state": {}}
        connections: list[Any] = [scope, SimpleNamespace(scope=scope)]
        if kind == "http":
            connections.append(Request(scope))
        for connection in connections:
            with pytest.raises(LookupError) as raised:
                get_keepalive(connection)
            assert raised.value.args == (
                "only WebSocket connections have a keepalive, and the type of this scope is "
                f"'{kind}': call get_keepalive for a WebSocket",
            )

    @pytest.mark.parametrize("given", [None, 5, SimpleNamespace(), SimpleNamespace(scope=None)])
    def test_of_what_has_no_scope(self, given: Any) -> None:
        with pytest.raises(TypeError) as raised:
            get_keepalive(given)
        assert str(raised.value) == (
            f"get_keepalive takes an ASGI scope, or an object that has one as .scope, not {given!r}"
        )

    def test_something_else_in_its_place(self) -> None:
        with pytest.raises(TypeError) as raised:
            get_keepalive({"state": {"keepalive": "mine"}})
        assert str(raised.value) == (
            'scope["state"]["keepalive"] is the place of KeepaliveMiddleware, but it holds \'mine\''
        )


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (PingTimeout, {TimeoutError, OSError}),
        (ConnectionClosed, {ConnectionError, OSError}),
        (KeepaliveUnsupported, set()),
        # Not a TimeoutError: code around `asyncio.wait_for` would take it for its own.
        (KeepaliveTimeout, {ConnectionError, OSError}),
    ],
)
def test_errors_can_be_caught_by_what_they_are(
    error: type[Exception], bases: set[type[Exception]]
) -> None:
    assert issubclass(error, KeepaliveError)
    kinds = {TimeoutError, ConnectionError, OSError, ValueError, LookupError}
    assert {kind for kind in kinds if issubclass(error, kind)} == bases
