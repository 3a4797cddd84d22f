"""How a server is found from what an application is given, whatever that is."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import time
import types
from typing import Any
from unittest import mock

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from asgi_keepalive import KeepaliveMiddleware, get_keepalive, servers
from asgi_keepalive.extension import Server
from asgi_keepalive.servers import find
from asgi_keepalive.servers.advice import Advice
from asgi_keepalive.servers.uvicorn import sansio

from ..conftest import Reports
from ..support.applications import accept
from ..support.client import CLOSE, PING, PONG, TEXT, Client
from ..support.fake_loop import in_no_time
from ..support.server import running
from ..support.serving import serving
from ..support.uvicorn import connected, unused

UVICORN = WebSocketsSansIOProtocol.__module__
SCOPE: Any = {"type": "websocket"}
DECLARED: Any = {
    "type": "websocket",
    "extensions": {"websocket.ping": {"take_over": print, "ping": print}},
}


class TestDeclared:
    """What a server declares wins over the adapters here."""

    @in_no_time
    async def test_by_an_unknown_server(self) -> None:
        server = find(DECLARED, unused, unused)
        assert isinstance(server, Server)
        assert server[:2] == (unused, unused)
        assert server.extension is DECLARED["extensions"]["websocket.ping"]
        assert not server.releases_calls
        assert not server.is_closing()

    @in_no_time
    async def test_by_a_server_that_an_adapter_knows(self) -> None:
        protocol, transport = connected(WebSocketsSansIOProtocol)
        server = find(DECLARED, protocol.receive, protocol.send)
        assert isinstance(server, Server)
        assert server[:2] == (protocol.receive, protocol.send)
        assert protocol.transport is transport
        assert transport.protocol is protocol

    @in_no_time
    async def test_by_a_server_that_no_adapter_can_serve(self) -> None:
        protocol: Any = type("Protocol", (), {"__module__": "granian._granian", "call": unused})()
        assert isinstance(find(DECLARED, protocol.call, protocol.call), Server)

    def test_whose_names_meet_ours(self, loop: str, reports: Reports) -> None:
        """As in a uvicorn that has the extension itself."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await get_keepalive(scope).ping())
            reports.put(await receive())

        server = serving(KeepaliveMiddleware(app), ws=DeclaringProtocol, loop=loop)
        with running(server), Client(server.port).open() as client:
            client.send(PONG, client.expect(PING))
            assert 0 < reports.get() < 5
            client.send(TEXT, b"hello")
            assert reports.get()["text"] == "hello"
            client.send(CLOSE, b"\x03\xe8")
            client.until_end()
        assert not server.complaints()

    @pytest.mark.parametrize(
        "declared",
        [
            None,
            True,
            "take_over ping",
            ["take_over", "ping"],
            {},
            {"traffic": dict},  # an earlier version of the extension
            {"take_over": print},
            {"ping": print},
            {"take_over": print, "ping": None},
            {"take_over": "print", "ping": print},
        ],
    )
    @in_no_time
    async def test_without_level_1_is_as_if_it_were_not_there(self, declared: Any) -> None:
        scope = {"type": "websocket", "extensions": {"websocket.ping": declared}}
        assert isinstance(find(scope, unused, unused), Advice)
        protocol, _ = connected(WebSocketsSansIOProtocol)
        server = find(scope, protocol.receive, protocol.send)
        assert isinstance(server, Server)
        assert "fail" in server.extension

    @pytest.mark.parametrize(
        "error", [RuntimeError("taken over already"), OSError("gone"), asyncio.CancelledError()]
    )
    @in_no_time
    async def test_take_over_that_raises(
        self, caplog: pytest.LogCaptureFixture, error: BaseException
    ) -> None:
        """The application runs all the same."""

        def take_over(*callbacks: Any) -> None:
            raise error

        async def app(scope: Any, receive: Any, send: Any) -> None:
            supported.append(get_keepalive(scope).supported)
            assert (receive, send) == (unused, unused)

        supported: list[bool] = []
        middleware = KeepaliveMiddleware(app)
        for _ in range(2):
            scope = {
                "type": "websocket",
                "extensions": {"websocket.ping": {"take_over": take_over, "ping": print}},
            }
            await middleware(scope, unused, unused)
        assert supported == [False, False]
        [warning] = caplog.messages
        assert warning == (
            f"keepalive is off: its websocket.ping extension cannot be used: {error!r}"
        )


class DeclaringProtocol(WebSocketsSansIOProtocol):
    """A uvicorn's own WebSocket protocol that has the extension; defined where that is."""

    __module__ = UVICORN
    endpoint = adapter = keepalive_fits = forward = None
    on_pong: Any = None

    async def run_asgi(self) -> None:
        extensions: Any = self.scope["extensions"]
        extensions["websocket.ping"] = {"take_over": self.take_over, "ping": self.ping}
        await super().run_asgi()

    def take_over(self, on_pong: Any, on_closing: Any) -> None:
        self.on_pong = on_pong

    def ping(self, payload: bytes) -> None:
        self.conn.send_ping(payload)
        self.transport.write(b"".join(self.conn.data_to_send()))

    def handle_pong(self, event: Any) -> None:
        self.on_pong(bytes(event.data), time.monotonic())


class TestFound:
    @pytest.mark.parametrize("hidden", ["send", "receive"])
    @in_no_time
    async def test_from_either_call(self, hidden: str) -> None:
        protocol, transport = connected(WebSocketsSansIOProtocol)
        calls = {"receive": protocol.receive, "send": protocol.send, hidden: unused}
        server = find(SCOPE, **calls)
        assert isinstance(server, Server)
        assert server.send not in (unused, protocol.send)
        assert server.receive == calls["receive"]
        assert server.send_message == calls["send"]
        assert not server.releases_calls  # as what hides it may do anything
        assert transport.protocol is not protocol

    @in_no_time
    async def test_from_both_which_lets_it_release_them(self) -> None:
        protocol, _ = connected(WebSocketsSansIOProtocol)
        server = find(SCOPE, protocol.receive, protocol.send)
        assert isinstance(server, Server)
        assert server.releases_calls
        assert server.receive == protocol.queue.get

    @in_no_time
    async def test_but_not_in_a_subclass_that_passes_for_uvicorns(self) -> None:
        """As `functools.wraps` for classes makes them; it may have changed anything."""
        cls = type("Protocol", (WebSocketsSansIOProtocol,), {"__module__": UVICORN})
        protocol, transport = connected(cls)
        assert isinstance(find(SCOPE, protocol.receive, protocol.send), Advice)
        assert transport.protocol is protocol


class Raising:
    """Raises for each name, as a lazy proxy does that is bound to nothing."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("working outside of request context")


class Everything:
    """Has every attribute, and is equal to nothing."""

    def __getattr__(self, name: str) -> Any:
        return Everything()

    def __eq__(self, other: object) -> bool:
        raise TypeError("not to be compared")

    __hash__ = object.__hash__


class Odd(type):
    """The classes of this one tell nothing about themselves that is of use."""

    def __getattribute__(cls, name: str) -> Any:
        if name == "__mro__":
            raise LookupError
        return mock.Mock()


def without_a_module() -> Any:
    async def call(*args: Any) -> Any: ...

    call.__module__ = None  # type: ignore[assignment]
    return call


def cycle() -> Any:
    call = functools.partial(unused)
    call.__setstate__((call, (), {}, {}))  # type: ignore[attr-defined]
    return call


STRANGE = {
    "no module": without_a_module(),
    "globals without a name": types.FunctionType(unused.__code__, {}),
    "module of its wrapped": functools.wraps(mock.Mock(__module__=None))(without_a_module()),
    "module that is a property": type("Call", (), {"__module__": property(id)})(),
    "odd class": Odd("Call", (), {})(),
    "Mock": mock.Mock(),
    "AsyncMock": mock.AsyncMock(),
    "AsyncMock of a function": mock.AsyncMock(spec=unused),
    "Mock of a partial": mock.MagicMock(spec=functools.partial(unused)),
    "raising": Raising(),
    "everything": Everything(),
    "partial of partials": functools.partial(
        functools.partial(mock.Mock(), mock.Mock()), Raising()
    ),
    "partial of many": functools.partial(unused, *[unused] * 100_000),
    "cycle of partials": cycle(),
    "builtin": print,
    "builtin method": [].append,
    "slot": ServerState().__init__,  # type: ignore[misc]
    "class": WebSocketsSansIOProtocol,
    "None": None,
    "named like a helper here": type("Call", (), {"__module__": "closing"})(),
    "named like a server": type("Call", (), {"__module__": "uvicorn"})(),
    "named like one, and nothing of it": types.new_class("hypercorn")(),
}


class TestStrange:
    """What is no server's is no reason to fail, nor to take long."""

    @pytest.mark.parametrize("name", STRANGE)
    @in_no_time
    async def test_call(self, name: str) -> None:
        call = STRANGE[name]
        for calls in (call, call), (unused, call), (call, unused):
            assert isinstance(find(SCOPE, *calls), Advice)
        app = mock.AsyncMock()
        await KeepaliveMiddleware(app)({**SCOPE}, call, call)
        [(_, receive, send)] = [awaited.args for awaited in app.await_args_list]
        assert (receive is call, send is call) == (True, True)

    @pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {}}])
    @in_no_time
    async def test_extensions(self, extensions: dict[str, Any]) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        assert isinstance(find({**SCOPE, **extensions}, unused, unused), Advice)
        assert isinstance(find({**SCOPE, **extensions}, queue.get, queue.put), Advice)

    @in_no_time
    async def test_number_of_looks_is_bounded(self) -> None:
        looks = []

        class Counting:
            def __getattr__(self, name: str) -> Any:
                looks.append(name)
                raise AttributeError(name)

        find(SCOPE, unused, functools.partial(unused, *[Counting() for _ in range(10_000)]))
        assert 0 < len(looks) < 1000


class TestChanged:
    """A server whose inside is not as its adapter expects is left alone."""

    @pytest.fixture(autouse=True)
    def fresh(self) -> Any:
        servers._adapter.cache_clear()
        yield
        servers._adapter.cache_clear()

    @in_no_time
    async def test_so_that_an_adapter_cannot_be_imported(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setitem(sys.modules, "asgi_keepalive.servers.uvicorn", None)
        protocol, _ = connected(WebSocketsSansIOProtocol)
        with caplog.at_level(logging.DEBUG, "asgi_keepalive"):
            for _ in range(2):
                assert isinstance(find(SCOPE, protocol.receive, protocol.send), Advice)
        assert caplog.messages == ["uvicorn is not as expected"]  # it is not tried again
        assert caplog.records[0].exc_info is not None

    @in_no_time
    async def test_so_that_an_adapter_fails(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(sansio, "TOUCHED", None)
        protocol, transport = connected(WebSocketsSansIOProtocol)
        with caplog.at_level(logging.DEBUG, "asgi_keepalive"):
            assert isinstance(find(SCOPE, protocol.receive, protocol.send), Advice)
        assert set(caplog.messages) == {"uvicorn is not as expected"}
        assert transport.protocol is protocol
