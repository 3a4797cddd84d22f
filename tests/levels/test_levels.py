"""What is kept on a server that declares the extension, by how much of it that server has.

The server is made from `docs/extension.md` alone, and no adapter knows it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from asgi_keepalive import KeepaliveMiddleware, get_keepalive

from ..conftest import Reports
from ..support.applications import accept, stream
from ..support.client import CLOSE, PING, PONG, TEXT, Client, close_code
from ..support.server import Server, kernel_sockets, running, wait_until
from ..support.timeouts import CLOSE_TIMEOUT, FAILED, INTERVAL, LATE, TIMEOUT
from .serving import PageServer

NOTICED = INTERVAL + 2 * TIMEOUT
"""Seconds after the accept by which a dead peer has been noticed.

Without level 3 it is one `ping_timeout` later if the application does not receive.
"""

WINDOW = 0.4
"""Seconds of a drain."""

Scenario = Callable[[Server, Reports], None]


async def listen(scope: Any, receive: Any, send: Any, reports: Reports) -> None:
    """Report the disconnect."""
    reports.put(await receive())


async def send_only(scope: Any, receive: Any, send: Any, reports: Reports) -> None:
    """Report that `send` raises."""
    with suppress(OSError):
        while True:
            await send({"type": "websocket.send", "text": "news"})
            await asyncio.sleep(0.01)
    reports.put("raised")


async def send_much(scope: Any, receive: Any, send: Any, reports: Reports) -> None:
    """Send one large message to a peer that may be slow, and report the disconnect."""
    get_keepalive(scope).configure(liveness="progress")
    await send({"type": "websocket.send", "bytes": bytes(4_500_000)})
    reports.put(await receive())


async def fill(scope: Any, receive: Any, send: Any, reports: Reports) -> None:
    """Fill all buffers, and report the verdict once the blocked `send` has raised."""
    reports.put((await stream(send)).verdict)


async def close_behind_megabytes(scope: Any, receive: Any, send: Any, reports: Reports) -> None:
    """Close while nothing can leave, and report that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await stream(send)
    reports.put("closes")
    await send({"type": "websocket.close"})


async def work(scope: Any, receive: Any, send: Any, reports: Reports) -> None:
    """Receive nothing for a long time, and report whether the connection has been failed."""
    await asyncio.sleep(4 * TIMEOUT)
    reports.put(get_keepalive(scope).timed_out)


async def stall(scope: Any, receive: Any, send: Any, reports: Reports) -> None:
    """Let the event loop stand still, and report whether the connection has been failed for it."""
    await asyncio.sleep(0.9 * INTERVAL)
    time.sleep(INTERVAL + TIMEOUT)  # noqa: ASYNC251 - that is the point
    await asyncio.sleep(INTERVAL + TIMEOUT)
    reports.put(get_keepalive(scope).timed_out)


def told_in_time(reports: Reports) -> Any:
    began = time.monotonic()
    told = reports.get()
    assert time.monotonic() - began < NOTICED + LATE
    return told


def freed_in_time(server: Server, client: Client, within: float) -> None:
    began = time.monotonic()
    with suppress(AssertionError):
        wait_until(lambda: not kernel_sockets(server.port, client.port), within + LATE)
    assert kernel_sockets(server.port, client.port) == []
    assert time.monotonic() - began < within + LATE


# The scenarios. The first eight are those of every adapter here.


def silent_peer_is_told(server: Server, reports: Reports) -> None:
    with Client(server.port).open():
        assert told_in_time(reports) == FAILED


def only_sender_is_told(server: Server, reports: Reports) -> None:
    with Client(server.port).open():
        assert told_in_time(reports) == "raised"


def blocked_sender_is_told(server: Server, reports: Reports) -> None:
    with Client(server.port, receive_buffer=4096).open():
        told_in_time(reports)


def wrong_pong_does_not_count(server: Server, reports: Reports) -> None:
    with Client(server.port).open() as client:
        payload = client.expect(PING)
        client.send(PONG, payload + b"!")
        assert told_in_time(reports) == FAILED


def stall_is_not_the_peers_fault(server: Server, reports: Reports) -> None:
    with Client(server.port).open() as client:
        client.answer(2 * (INTERVAL + TIMEOUT))
        assert reports.get() is False


def failed_peer_reads_why_and_then_the_end(server: Server, reports: Reports) -> None:
    with Client(server.port).open() as client:
        opcode, payload = client.until_end()[-1]
        assert opcode == CLOSE
        assert close_code(payload) == (1011, "keepalive ping timeout")
        freed_in_time(server, client, CLOSE_TIMEOUT)


def frozen_peer_holds_nothing(server: Server, reports: Reports) -> None:
    with Client(server.port, receive_buffer=4096).open() as client:
        reports.get()
        freed_in_time(server, client, CLOSE_TIMEOUT)


def busy_application_keeps_its_peer(server: Server, reports: Reports) -> None:
    with Client(server.port).open() as client:
        client.send(TEXT, b"first")
        client.send(TEXT, b"second")
        client.answer(4 * TIMEOUT)
        assert reports.get() is False


def closed_connection_ends_in_time(server: Server, reports: Reports) -> None:
    with Client(server.port, receive_buffer=4096).open() as client:
        assert reports.get() == "closes"
        freed_in_time(server, client, CLOSE_TIMEOUT)


def verdict_has_evidence(server: Server, reports: Reports) -> None:
    with Client(server.port, receive_buffer=4096).open():
        assert reports.get().unsent > 0


def slow_reader_gets_all(server: Server, reports: Reports) -> None:
    with Client(server.port, receive_buffer=65536).open() as client:
        client.read_slowly(4_000_000, 4_500_000)
        client.answer(INTERVAL)
        client.send(CLOSE, b"\x03\xe8")
        assert reports.get()["code"] == 1000


class Case(NamedTuple):
    """A scenario.

    Attributes:
        level: The lowest at which the page promises it.
        app: What the application does once it has accepted.
    """

    level: int
    app: Any
    scenario: Scenario


CASES = [
    Case(1, listen, silent_peer_is_told),
    Case(1, send_only, only_sender_is_told),
    Case(1, fill, blocked_sender_is_told),
    Case(1, listen, wrong_pong_does_not_count),
    Case(1, stall, stall_is_not_the_peers_fault),
    Case(2, listen, failed_peer_reads_why_and_then_the_end),
    Case(2, fill, frozen_peer_holds_nothing),
    Case(3, work, busy_application_keeps_its_peer),
    Case(4, close_behind_megabytes, closed_connection_ends_in_time),
    Case(5, fill, verdict_has_evidence),
    Case(5, send_much, slow_reader_gets_all),
]


@pytest.mark.parametrize(
    ("level", "case"),
    [
        pytest.param(level, case, id=f"{level}-{case.scenario.__name__}")
        for level in range(1, 6)
        for case in CASES
        if level >= case.level
    ],
)
def test_scenario(case: Case, level: int, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        assert get_keepalive(scope).supported
        await case.app(scope, receive, send, reports)

    middleware = KeepaliveMiddleware(
        app, ping_interval=INTERVAL, ping_timeout=TIMEOUT, close_timeout=CLOSE_TIMEOUT
    )
    with running(PageServer(middleware, level)) as server:
        case.scenario(server, reports)


def test_exit_is_drained(reports: Reports) -> None:
    """The highest level lets the connections end one after another when the server exits."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put("accepted")
        await receive()

    middleware = KeepaliveMiddleware(app, drain_window=WINDOW, close_timeout=CLOSE_TIMEOUT)
    with (
        running(PageServer(middleware, 6)) as server,
        Client(server.port).open() as one,
        Client(server.port).open() as other,
    ):
        assert [reports.get(), reports.get()] == ["accepted", "accepted"]
        began = time.monotonic()
        server.exit()
        ends = []
        for client in one, other:
            assert close_code(client.until_end()[-1][1]) == (1012, "service restart")
            ends.append(time.monotonic() - began)
        assert WINDOW / 2 <= max(ends) < WINDOW + LATE
        assert server.stop() < CLOSE_TIMEOUT + LATE
