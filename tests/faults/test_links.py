"""Slow links, made of the kernel's own traffic shaping, under an application that streams."""

from __future__ import annotations

import asyncio
import ssl
import threading
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import get_keepalive

from ..conftest import SERVERS, Reports, Serve
from ..support.applications import accept
from ..support.client import Client
from .network import Network

RATE = 2
"""Of the link, in Mbit/s."""

SOON = 1.2
"""Seconds for a Ping and its Pong; without a bound it takes 1.5 to 5."""


@pytest.mark.parametrize("ws", SERVERS)
@pytest.mark.parametrize("loop", ["asyncio"])
@pytest.mark.parametrize("wss", [False, True], ids=["ws", "wss"])
def test_ping_is_not_long_behind_a_stream(
    network: Network,
    serve: Serve,
    reports: Reports,
    wss: bool,
    tls: ssl.SSLContext,
    tls_config: dict[str, str],
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        streaming = asyncio.create_task(stream(send))
        await asyncio.sleep(2)  # seconds, until what may fill is full
        reports.put(await get_keepalive(scope).ping())
        streaming.cancel()

    with network.server as host:
        config = tls_config if wss else {}
        server = serve(app, address=host.address, ping_interval=None, ping_timeout=10, **config)
    host = network.client()
    shape = ["rate", f"{RATE}mbit", "burst", "32k", "limit", "48k"]
    network.router.run("tc", "qdisc", "add", "dev", host.port, "root", "tbf", *shape)
    with host:
        client = Client(server.port, address=network.server.address, tls=tls if wss else None)
    with client.open():
        reading = threading.Thread(target=answer, args=[client])
        reading.start()
        assert reports.get() < SOON
        reading.join()


def answer(client: Client) -> None:
    """Answer Pings until the server ends the connection, with whatever it has left."""
    with suppress(OSError):
        client.answer(20)


async def stream(send: Any) -> None:
    """Send until cancelled."""
    while True:
        await send({"type": "websocket.send", "bytes": bytes(16384)})
