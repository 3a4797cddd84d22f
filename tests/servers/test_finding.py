"""How a server is found from what an application is given, whatever that is."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Any

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

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
