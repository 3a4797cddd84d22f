"""Links that are slow, and peers behind them that live or not (`liveness="progress"`)."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import KeepaliveTimeout, get_keepalive
from asgi_keepalive.endpoint.kernel import unread

from ..conftest import SERVERS, Reports, Serve
from ..support.applications import accept
from ..support.client import BINARY, CLOSE, PING, frame
from ..support.server import logged
from ..support.timeouts import INTERVAL, LATE, LOGGED
from .network import Network
from .test_partition import Site, stream

TIMEOUT = 0.7


@pytest.fixture
def site(network: Network, serve: Serve) -> Site:
    return Site(network, serve)


def sending(reports: Reports, *sizes: int) -> Any:
    """Return an application that sends messages, receives, and tells the verdict at last."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        received = 0
        with suppress(KeepaliveTimeout):
            for size in sizes:
                await send({"type": "websocket.send", "bytes": bytes(size)})
            while (event := await receive())["type"] == "websocket.receive":
                received += len(event["bytes"])
        reports.put((get_keepalive(scope).verdict, received))

    return app


MEGABIT = "8mbit", "64kb", 2_000_000
SLOWEST = "512kbit", "64kb", 200_000
BLOATED = "8mbit", "1mb", 2_000_000


@pytest.mark.parametrize(
    ("ws", "loop", "secure", "link"),
    [
        *((ws, "asyncio", False, MEGABIT) for ws in SERVERS),
        ("websockets-sansio", "asyncio", True, MEGABIT),
        ("websockets-sansio", "uvloop", False, MEGABIT),
        ("hypercorn", "uvloop", True, MEGABIT),
        ("websockets-sansio", "asyncio", False, SLOWEST),
        ("websockets-sansio", "asyncio", False, BLOATED),
    ],
)
def test_messages_arrive_whole(
    site: Site,
    network: Network,
    reports: Reports,
    ws: str,
    secure: bool,
    link: tuple[str, str, int],
    tls: Any,
    tls_config: Any,
) -> None:
    rate, limit, size = link
    sizes = [size // 2] * 2 if ws == "daphne" else [size]  # it sends no larger one
    server = site.serve(
        sending(reports, *sizes),
        ping_timeout=TIMEOUT,
        liveness="progress",
        **(tls_config if secure else {}),
    )
    host = network.client()
    network.slow_down(host, rate, limit)
    with site.connect(host, **({"tls": tls} if secure else {})) as client:
        for size in sizes:
            assert client.answer_until(BINARY) == bytes(size)
        assert client.answer(INTERVAL) == []
    assert reports.get()[0] is None
    assert len(logged(server, "no Pong for Ping")) >= 1
    assert logged(server, "Pong ")


once = pytest.mark.parametrize(("ws", "loop"), [("websockets-sansio", "asyncio")])


@once
def test_with_pong_a_message_is_lost(site: Site, network: Network, reports: Reports) -> None:
    site.serve(sending(reports, 2_000_000), ping_timeout=TIMEOUT)
    host = network.client()
    network.slow_down(host, "8mbit")
    with site.connect(host) as client, pytest.raises((EOFError, ConnectionError)):
        client.answer_until(BINARY)
    assert reports.get()[0].reason == "frozen"


@pytest.mark.parametrize("loop", ["asyncio"])
@pytest.mark.parametrize("ws", ["websockets-sansio", "websockets", "hypercorn"])
def test_upload_in_one_message_is_kept(site: Site, network: Network, reports: Reports) -> None:
    server = site.serve(sending(reports), ping_timeout=TIMEOUT, liveness="progress")
    host = network.client()
    network.slow_down(host, "8mbit")
    with site.connect(host) as client:
        client.send(BINARY, bytes(2_000_000))
        client.answer(2 * INTERVAL)
        client.send(CLOSE, b"\x03\xe8")
        client.until_end()
    assert reports.get() == (None, 2_000_000)
    assert len(logged(server, "no Pong for Ping")) >= 2


@once
def test_stopped_client_with_a_large_window(site: Site, network: Network, reports: Reports) -> None:
    """Its kernel goes on acknowledging what comes after the Ping."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await stream(send)
        reports.put(time.monotonic())

    server = site.serve(app, ping_timeout=TIMEOUT, liveness="progress", close_timeout=5)
    host = network.client()
    network.slow_down(host, "8mbit")
    with site.connect(host, receive_buffer=4_000_000) as client:
        seen = [(time.monotonic(), 0)]
        while reports.empty():
            seen.append((time.monotonic(), unread(client.socket) + len(client.buffer)))
            time.sleep(0.01)
        at = reports.get()
        position = 0
        while (found := client.receive())[0] == BINARY:
            position += len(frame(*found)) - 4
        assert found[0] == PING
        arrived = min(then for then, size in seen if size >= position)
        [ping] = logged(server, "Ping ")[:1]
        assert ping.at + TIMEOUT - LOGGED < at < arrived + 2 * TIMEOUT + LATE / 2  # type: ignore[attr-defined]
        assert seen[-1][1] > position + 200_000  # which it has acknowledged since
