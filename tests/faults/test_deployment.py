"""The proxies of docs/deployment.md, configured as it says, but for a limit of 1 s."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from asgi_keepalive import KeepaliveMiddleware

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import Client, close_code, cut_off
from ..support.server import Server, wait_until
from ..support.timeouts import CLOSE_TIMEOUT
from .proxies import PROXIES, Lighttpd
from .proxy import Proxy
from .test_proxies import (
    TIMED_OUT,
    application,
    freed,
    has_left,
    has_timed_out,
    is_backed_up,
)

StartProxy = Callable[[Server], Proxy]

IDLE = 1
LOOK = 1
"""How seldom lighttpd looks for what is idle, in seconds."""


@pytest.fixture
def ws() -> str:
    """One of all, and one event loop: the proxies are what differs here."""
    return "websockets-sansio"


@pytest.fixture
def loop() -> str:
    return "asyncio"


def name(cls: type[Proxy]) -> str:
    return cls.PROGRAM


@pytest.fixture(params=PROXIES, ids=name)
def kind(request: pytest.FixtureRequest) -> type[Proxy]:
    cls: type[Proxy] = request.param
    return cls


@pytest.fixture
def proxy(kind: type[Proxy], tmp_path: Path) -> Iterator[StartProxy]:
    """Start a proxy before a server."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(kind(tmp_path, server.port, IDLE))


@pytest.fixture
def own_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server tell its application the proxy's port rather than the client's address."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "")


@pytest.mark.parametrize("kind", [cls for cls in PROXIES if cls.LIMIT], ids=name, indirect=True)
@pytest.mark.usefixtures("own_port")
def test_idle_connection_is_cut_without_keepalive_and_lives_with_it(
    serve: Serve, proxy: StartProxy, reports: Reports
) -> None:
    app = application(reports)
    without = KeepaliveMiddleware(app, ping_interval=None)

    async def routes(scope: Any, receive: Any, send: Any) -> None:
        await (without if scope["path"] == "/without" else app)(scope, receive, send)

    front = proxy(serve(routes, ping_interval=IDLE / 4, ping_timeout=IDLE))
    with connect(front.url, ping_interval=None) as websocket:
        _, keepalive = reports.get()
        began = time.monotonic()
        with Client(front.port, path="/without").open() as client:
            _, without_keepalive = reports.get()
            assert client.until_end() == []
            assert 0.9 * IDLE < time.monotonic() - began < IDLE + LOOK + 1
            has_left(reports, without_keepalive, "/without")
        with pytest.raises(TimeoutError):
            websocket.recv(timeout=began + 3 * IDLE + LOOK - time.monotonic())
        assert reports.empty()
        assert keepalive.latency < IDLE
        websocket.send("hello")
        assert reports.get()[1]["text"] == "hello"


def test_messages_pass_at_once_and_the_clients_address_is_told(
    serve: Serve, proxy: StartProxy
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "text": scope["client"][0]})
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})

    front = proxy(serve(app, ping_timeout=5))
    claim = {"X-Forwarded-For": "192.0.2.1"}
    with connect(front.url, source_address=("127.0.0.2", 0), additional_headers=claim) as websocket:
        assert websocket.recv(timeout=5) == "127.0.0.2"
        for size in 1, 1000, 1_000_000:
            websocket.send(size * "x")
            assert websocket.recv(timeout=5) == size * "x"


@pytest.mark.parametrize("kind", [Lighttpd], ids=name, indirect=True)
def test_what_the_server_sends_counts_for_nothing(serve: Serve, proxy: StartProxy) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        with suppress(OSError):
            while True:
                await send({"type": "websocket.send", "text": "x"})
                await asyncio.sleep(IDLE / 4)

    with Client(proxy(serve(app, ping_interval=None)).port).open() as client:
        began = time.monotonic()
        assert client.until_end()
        assert 0.9 * IDLE < time.monotonic() - began < IDLE + LOOK + 1


@pytest.mark.usefixtures("own_port")
def test_silent_client_is_told_as_1011_and_reads_the_close_frame(
    serve: Serve, proxy: StartProxy, reports: Reports
) -> None:
    server = serve(application(reports))
    with Client(proxy(server).port, path="/receive").open() as client:
        port, _ = reports.get()
        has_timed_out(reports, "/receive")
        *_, (_, payload) = client.until_end()
        assert close_code(payload) == TIMED_OUT
        freed(server, port, CLOSE_TIMEOUT)


@pytest.mark.usefixtures("own_port")
def test_client_off_the_network_is_told_as_1011_while_data_streams_to_it(
    serve: Serve, proxy: StartProxy, reports: Reports
) -> None:
    server = serve(application(reports))
    with Client(proxy(server).port, path="/stream").open() as client:
        port, _ = reports.get()
        cut_off(client.socket)
        wait_until(lambda: is_backed_up(server, port))
        has_timed_out(reports, "/stream")
        freed(server, port, CLOSE_TIMEOUT)
