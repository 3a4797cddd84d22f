"""The promises about descriptors over TLS, where asyncio waits 30 s for a peer's close_notify."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from asgi_keepalive import KeepaliveTimeout

from .client import CLOSE, PING, PONG, TEXT, Client, close_code
from .conftest import Reports, Serve
from .server import kernel_sockets, wait_until
from .test_promises import CLOSE_TIMEOUT, FAILED, INTERVAL, LATE, accept, echo, freed


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """What a client trusts, and the file that uvicorn reads."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    return context, path


@pytest.fixture
def tls(certificate: tuple[ssl.SSLContext, Path]) -> ssl.SSLContext:
    return certificate[0]


@pytest.fixture
def config(certificate: tuple[ssl.SSLContext, Path]) -> dict[str, str]:
    return {"ssl_certfile": str(certificate[1])}


def test_echo_and_close(serve: Serve, tls: ssl.SSLContext, config: dict[str, str]) -> None:
    server = serve(echo, **config)
    with Client(server.port, tls=tls).open() as client:
        client.send(PONG, client.expect(PING))
        client.send(TEXT, b"hello")
        assert client.expect(TEXT) == b"hello"
        client.send(CLOSE, b"\x03\xe8")
        client.until_end()
    freed(server, client, 0)


def test_silent_peer(
    serve: Serve, reports: Reports, tls: ssl.SSLContext, config: dict[str, str]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put(await receive())

    server = serve(app, **config)
    with Client(server.port, tls=tls).open() as client:
        assert reports.get() == FAILED
        freed(server, client, CLOSE_TIMEOUT)
        client.expect(PING)
        assert close_code(client.expect(CLOSE)) == (1011, "keepalive ping timeout")


def test_frozen_peer(
    serve: Serve, reports: Reports, tls: ssl.SSLContext, config: dict[str, str]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(65536)})
                await asyncio.sleep(0)
        except KeepaliveTimeout:
            reports.put("released")

    server = serve(app, **config)
    with Client(server.port, tls=tls, receive_buffer=4096).open() as client:
        assert reports.get() == "released"
        freed(server, client, CLOSE_TIMEOUT)


def test_frozen_peer_that_shuts_down_its_side(
    serve: Serve, loop: str, reports: Reports, tls: ssl.SSLContext, config: dict[str, str]
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
    server = serve(app, ping_interval=interval, expect=("SSL connection is closed",), **config)
    with Client(server.port, tls=tls, receive_buffer=4096).open() as client:
        wait_until(lambda: kernel_sockets(server.port, client.port)[0][1] > 100_000)
        client.socket.shutdown(1)
        assert reports.get() == "released"
        # What the kernel may keep is among the README's limits.
        began = time.monotonic()
        wait_until(lambda: not server.uvicorn.server_state.connections)
        assert time.monotonic() - began < CLOSE_TIMEOUT + LATE


@pytest.mark.parametrize("close", [False, True], ids=["returns", "closes"])
def test_application_that_leaves_a_silent_peer(
    serve: Serve, reports: Reports, tls: ssl.SSLContext, config: dict[str, str], close: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        if close:
            await send({"type": "websocket.close"})
        reports.put(time.monotonic())

    server = serve(app, **config)
    with Client(server.port, tls=tls).open() as client:
        reports.get()
        freed(server, client, CLOSE_TIMEOUT)


def test_shutdown_with_a_silent_peer(
    serve: Serve, reports: Reports, tls: ssl.SSLContext, config: dict[str, str]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put("open")
        reports.put((await receive())["code"])

    server = serve(app, ping_interval=20, **config)
    with Client(server.port, tls=tls).open():
        assert reports.get() == "open"
        assert server.stop() < CLOSE_TIMEOUT + 1 + LATE
        assert reports.get() == 1012
