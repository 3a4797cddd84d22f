"""`liveness="progress"` on real servers: slow peers live, and others are failed as promised."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import KeepaliveTimeout, Verdict, get_keepalive
from asgi_keepalive.endpoint import kernel

from .conftest import Reports, Serve
from .support.applications import accept, stream
from .support.client import BINARY, Client, frame
from .support.server import Server, logged
from .support.timeouts import INTERVAL, LATE, LOGGED, TIMEOUT

RATE = 5_000_000
"""Bytes a second that a slow client reads or sends."""

SIZE = 4_500_000
"""Bytes of a message: more than the kernel takes, and than can be passed on in time."""

plain = pytest.mark.parametrize("loop", ["asyncio"])
one = pytest.mark.parametrize(("ws", "loop"), [("websockets-sansio", "asyncio")])


class Told:
    """An application that sends messages, and tells what becomes of the connection.

    Args:
        reports: Are told when it ended, the verdict, and how many bytes were received.
        sizes: Of the messages.
        then: What to do then, before it receives.
    """

    def __init__(self, reports: Reports, *sizes: int, then: Any = None) -> None:
        self._reports = reports
        self._sizes = sizes
        self._then = then

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        keepalive = get_keepalive(scope)
        received = 0
        with suppress(KeepaliveTimeout):
            for size in self._sizes:
                await send({"type": "websocket.send", "bytes": bytes(size)})
            if self._then is not None:
                await self._then(send)
            while (event := await receive())["type"] == "websocket.receive":
                received += len(event["bytes"])
        self._reports.put((time.monotonic(), keepalive.verdict, received))


def in_pieces(data: bytes, size: int, seconds: float) -> Callable[[Client], None]:
    """Return what sends something piece by piece, and answers no Ping meanwhile."""

    def send(client: Client) -> None:
        with suppress(ConnectionError):
            for start in range(0, len(data), size):
                client.socket.sendall(data[start : start + size])
                time.sleep(seconds)

    return send


def pinged_at(server: Server) -> float:
    [ping] = logged(server, "Ping ")[:1]
    return float(ping.at)  # type: ignore[attr-defined]


def put_off(server: Server) -> int:
    """Return how often a deadline has been put off."""
    return len(logged(server, "no Pong for Ping"))


class TestSlowPeers:
    def test_reader_gets_a_message_whole(self, serve: Serve, ws: str, reports: Reports) -> None:
        self.whole(serve, reports, ws, {})

    @pytest.mark.parametrize(
        ("ws", "loop"),
        [
            ("websockets-sansio", "asyncio"),
            ("websockets", "uvloop"),
            ("hypercorn", "uvloop"),
            ("daphne", "asyncio"),
            ("gunicorn", "asyncio"),
        ],
    )
    def test_over_tls(
        self, serve: Serve, ws: str, reports: Reports, tls: ssl.SSLContext, tls_config: Any
    ) -> None:
        """Its transports hide what they hold."""
        self.whole(serve, reports, ws, tls_config, tls=tls)

    def whole(self, serve: Serve, reports: Reports, ws: str, config: Any, **keys: Any) -> None:
        part = 5 if ws == "daphne" else 1  # it sends no larger message
        server = serve(Told(reports, SIZE // part), liveness="progress", **config)
        with Client(server.port, receive_buffer=65536, **keys).open() as client:
            client.read_slowly(RATE // part, SIZE // part)
            client.answer(INTERVAL)
        assert reports.get()[1] is None
        assert put_off(server) >= 2

    @one
    def test_with_pong_it_does_not(self, serve: Serve, reports: Reports) -> None:
        server = serve(Told(reports, SIZE), close_timeout=0.1)
        with (
            Client(server.port, receive_buffer=65536).open() as client,
            pytest.raises((EOFError, ConnectionError)),
        ):
            client.read_slowly(RATE, SIZE)
        assert reports.get()[1].reason == "frozen"

    @plain
    @pytest.mark.parametrize("ws", ["websockets-sansio", "websockets", "hypercorn"])
    def test_writer_of_a_message_is_kept(self, serve: Serve, reports: Reports) -> None:
        server = serve(Told(reports), liveness="progress")
        with Client(server.port).open() as client:
            in_pieces(frame(BINARY, bytes(1_000_000)), 10_000, 0.012)(client)
            client.answer(INTERVAL)
        _, verdict, received = reports.get()
        assert (verdict, received) == (None, 1_000_000)
        assert put_off(server) >= 2


class TestDeadPeers:
    """They are failed at most one timeout later than with "pong"."""

    def failed(self, server: Server, reports: Reports, timeouts: float, timeout: float) -> Verdict:
        """Return the verdict of a failure that comes so many timeouts after the Ping, or sooner."""
        at, verdict, _ = reports.get()
        assert isinstance(verdict, Verdict)
        assert timeout - LOGGED < at - pinged_at(server) < timeouts * timeout + LATE
        assert put_off(server) <= 2 * (timeouts - 1)
        return verdict

    @plain
    def test_frozen(self, serve: Serve, reports: Reports) -> None:
        server = serve(Told(reports, then=stream), liveness="progress")
        with Client(server.port, receive_buffer=4096).open():
            verdict = self.failed(server, reports, 1, TIMEOUT)
        assert (verdict.reason, verdict.received) == ("frozen", 0)
        assert verdict.acknowledged == 0

    @one
    def test_silent(self, serve: Serve, reports: Reports) -> None:
        server = serve(Told(reports), liveness="progress")
        with Client(server.port).open():
            verdict = self.failed(server, reports, 1, TIMEOUT)
        assert (verdict.reason, verdict.received, verdict.acknowledged) == ("silent", 0, None)

    @one
    def test_reader_of_a_trickle(self, serve: Serve, reports: Reports) -> None:
        server = serve(Told(reports, SIZE), liveness="progress", ping_timeout=1)
        with Client(server.port, receive_buffer=4096).open() as client:
            while reports.empty():
                client.socket.recv(600)
                time.sleep(0.5)
            verdict = self.failed(server, reports, 2, 1)
        assert verdict.reason == "frozen"

    @one
    def test_writer_of_a_trickle(self, serve: Serve, reports: Reports) -> None:
        server = serve(Told(reports), liveness="progress", expect=("unanswered",))
        with Client(server.port).open() as client:
            client.socket.sendall(frame(BINARY, bytes(1000))[:10])
            with suppress(ConnectionError):
                while reports.empty():
                    client.socket.sendall(bytes(1))
                    time.sleep(0.02)
            verdict = self.failed(server, reports, 2, TIMEOUT)
        assert verdict.reason == "unanswered"

    @one
    def test_stopped_with_a_large_window(self, serve: Serve, reports: Reports) -> None:
        """Its kernel acknowledges all the time."""

        async def slowly(send: Any) -> None:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(10_000)})
                await asyncio.sleep(0.01)

        server = serve(Told(reports, then=slowly), liveness="progress")
        with Client(server.port, receive_buffer=4_000_000).open():
            verdict = self.failed(server, reports, 2, TIMEOUT)
        assert verdict.received == 0

    @one
    def test_application_that_is_behind(self, serve: Serve, reports: Reports) -> None:
        async def sleep(send: Any) -> None:
            await asyncio.sleep(4 * TIMEOUT)

        server = serve(
            Told(reports, then=sleep), liveness="progress", expect=("application behind",)
        )
        with Client(server.port).open() as client:
            client.socket.settimeout(0.2)
            with suppress(TimeoutError, ConnectionError):
                for _ in range(400):
                    client.socket.sendall(frame(BINARY, bytes(10_000)) * 10)
            _, verdict, _ = reports.get()
        assert verdict.reason == "application behind"
        assert verdict.waited < 2 * TIMEOUT + LATE
        assert put_off(server) == 0


class TestWhatCannotBeCounted:
    """Not everything tells as much as Linux about TCP."""

    @pytest.fixture(autouse=True)
    def counts_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kernel, "tells", lambda sock: False)

    @plain
    @pytest.mark.parametrize("ws", ["websockets-sansio", "websockets"])
    def test_reader_gets_a_message_whole(self, serve: Serve, reports: Reports) -> None:
        server = serve(Told(reports, SIZE), liveness="progress")
        # What has left the server counts as acknowledged, so let the kernel hold little.
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        with Client(server.port, receive_buffer=65536).open() as client:
            client.read_slowly(RATE, SIZE)
            client.answer(INTERVAL)
        assert reports.get()[1] is None
        assert put_off(server) >= 1

    @plain
    @pytest.mark.parametrize("ws", ["websockets-sansio", "daphne"])
    def test_writer_of_a_message_is_kept(self, serve: Serve, reports: Reports) -> None:
        server = serve(Told(reports), liveness="progress")
        with Client(server.port).open() as client:
            in_pieces(frame(BINARY, bytes(1_000_000)), 10_000, 0.012)(client)
            client.answer(INTERVAL)
        assert reports.get()[1:] == (None, 1_000_000)
        assert put_off(server) >= 2

    @one
    @pytest.mark.parametrize("then", [None, stream])
    def test_dead_peer(self, serve: Serve, reports: Reports, then: Any) -> None:
        server = serve(Told(reports, then=then), liveness="progress")
        with Client(server.port, receive_buffer=4096).open():
            at, verdict, _ = reports.get()
        assert at - pinged_at(server) < 2 * TIMEOUT + LATE
        assert verdict.reason == ("frozen" if then else "silent")
        assert put_off(server) <= 1
