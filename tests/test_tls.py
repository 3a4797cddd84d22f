"""The promises about descriptors over TLS, where asyncio waits 30 s for a peer's close_notify."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Any

import pytest

from .conftest import PROTOCOLS, Reports, Serve
from .support.applications import accept, code_at_exit, echo, stream
from .support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, close_code
from .support.server import freed, kernel_sockets, wait_until
from .support.timeouts import CLOSE_TIMEOUT, FAILED, INTERVAL, LATE


def test_echo_and_close(serve: Serve, tls: ssl.SSLContext, tls_config: dict[str, str]) -> None:
    server = serve(echo, **tls_config)
    with Client(server.port, tls=tls).open() as client:
        client.send(PONG, client.expect(PING))
        client.send(TEXT, b"hello")
        assert client.expect(TEXT) == b"hello"
        client.send(CLOSE, b"\x03\xe8")
        client.until_end()
    freed(server, client, 0)


def test_silent_peer(
    serve: Serve, reports: Reports, tls: ssl.SSLContext, tls_config: dict[str, str]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(await receive())

    server = serve(app, **tls_config)
    with Client(server.port, tls=tls).open() as client:
        assert reports.get() == FAILED
        freed(server, client, CLOSE_TIMEOUT)
        client.expect(PING)
        assert close_code(client.expect(CLOSE)) == (1011, "keepalive ping timeout")


def test_frozen_peer(
    serve: Serve, reports: Reports, tls: ssl.SSLContext, tls_config: dict[str, str]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await stream(send)
        reports.put("released")

    server = serve(app, **tls_config)
    with Client(server.port, tls=tls, receive_buffer=4096).open() as client:
        assert reports.get() == "released"
        freed(server, client, CLOSE_TIMEOUT)


def test_frozen_peer_that_shuts_down_its_side(
    serve: Serve, loop: str, reports: Reports, tls: ssl.SSLContext, tls_config: dict[str, str]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(65536)})
                await asyncio.sleep(0)
        except OSError:
            reports.put("released")

    # uvloop's TLS does not tell of a FIN while it cannot write, so there the heartbeat has to.
    # Meanwhile it lets everything be written, and says that it drops it.
    interval = 20 if loop == "asyncio" else INTERVAL
    server = serve(app, ping_interval=interval, expect=("SSL connection is closed",), **tls_config)
    with Client(server.port, tls=tls, receive_buffer=4096).open() as client:
        wait_until(lambda: kernel_sockets(server.port, client.port)[0][1] > 10_000)
        client.socket.shutdown(1)
        assert reports.get() == "released"
        began = time.monotonic()
        wait_until(lambda: not server.connections())
        assert time.monotonic() - began < CLOSE_TIMEOUT + LATE
        if loop == "asyncio":  # for uvloop see the limits in docs/matrix.md
            freed(server, client, CLOSE_TIMEOUT)


@pytest.mark.parametrize("reads", [False, True], ids=["freezes", "reads"])
@pytest.mark.parametrize("waits", [False, True], ids=["closes", "waits"])
def test_peer_that_shuts_down_its_side_while_the_kernel_holds_its_data(
    serve: Serve,
    loop: str,
    reports: Reports,
    tls: ssl.SSLContext,
    tls_config: dict[str, str],
    reads: bool,
    waits: bool,
) -> None:
    """The event loop then closes its descriptor, however much the peer has not read."""
    if loop == "uvloop" and waits and not reads:
        pytest.skip("uvloop tells of a FIN only when it has closed the descriptor")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "bytes": bytes(40_000)})
        reports.put("sent")
        if waits:
            await receive()

    server = serve(
        app, ping_interval=20, close_timeout=10 if reads else CLOSE_TIMEOUT, **tls_config
    )
    with Client(server.port, tls=tls, receive_buffer=4096).open() as client:
        assert reports.get() == "sent"
        wait_until(lambda: kernel_sockets(server.port, client.port)[0][1] > 10_000)
        socket.socket.shutdown(client.socket, 1)  # an SSLSocket's own ends TLS, too
        if reads:
            assert client.receive() == (BINARY, bytes(40_000))
            client.close()
            freed(server, client, 0)
        else:
            freed(server, client, CLOSE_TIMEOUT)


@pytest.mark.parametrize("close", [False, True], ids=["returns", "closes"])
def test_application_that_leaves_a_silent_peer(
    serve: Serve, reports: Reports, tls: ssl.SSLContext, tls_config: dict[str, str], close: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        if close:
            await send({"type": "websocket.close"})
        reports.put(time.monotonic())

    server = serve(app, **tls_config)
    with Client(server.port, tls=tls).open() as client:
        reports.get()
        freed(server, client, CLOSE_TIMEOUT)


def test_shutdown_with_a_silent_peer(
    serve: Serve, ws: str, reports: Reports, tls: ssl.SSLContext, tls_config: dict[str, str]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put("open")
        reports.put(await code_at_exit(receive))

    server = serve(app, ping_interval=20, **tls_config)
    with Client(server.port, tls=tls).open():
        assert reports.get() == "open"
        assert server.stop() < CLOSE_TIMEOUT + 1 + LATE
        assert reports.get() in ((1012,) if ws in PROTOCOLS else (1012, "cancelled"))
