"""P6: nothing but the Pong to a Ping of ours shows that a peer lives."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from asgi_keepalive import (
    ConnectionClosed,
    KeepaliveMiddleware,
    KeepaliveTimeout,
    PingTimeout,
    get_keepalive,
)
from asgi_keepalive.endpoint import libraries

from ..conftest import Reports, Serve
from ..support.applications import accept, echo
from ..support.client import CLOSE, PING, PONG, TEXT, Client, close_code, frame
from ..support.server import running
from ..support.serving import serving
from ..support.timeouts import FAILED, LATE


class TestOnlyARealPong:
    @pytest.mark.parametrize("wrong", [b"", b"\0\0\0\0", b"never sent" * 10])
    def test_wrong_pong(self, serve: Serve, reports: Reports, wrong: bytes) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())

        server = serve(app, expect=("unanswered",))
        with Client(server.port).open() as client:
            client.send(PONG, wrong)
            client.expect(PING)
            client.send(PONG, wrong)
            assert reports.get() == FAILED
            client.expect(CLOSE)  # rather than a second Ping

    @pytest.mark.parametrize("before", [2, 6, 10])
    def test_part_of_a_message_that_looks_like_a_pong(
        self, serve: Serve, reports: Reports, before: int
    ) -> None:
        """Nor is the message any the worse for it."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put((await receive())["bytes"])
            reports.put(get_keepalive(scope).latency)
            await receive()

        server = serve(app, ping_timeout=10)
        with Client(server.port).open() as client:
            pong = frame(PONG, client.expect(PING))
            head = bytes([0x82, 0x80 + 20, 0, 0, 0, 0])[:before].ljust(before, b"x")
            message = (head + pong).ljust(6 + 20, b"x")
            for part in message[:before], pong, message[before + len(pong) :]:
                client.socket.sendall(part)
                time.sleep(0.1)  # so that each part is a read of its own
            mask, payload = message[2:6], message[6:]
            unmasked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
            assert reports.get() == unmasked
            assert reports.get() is None

    @pytest.mark.parametrize(
        ("ws", "library"),
        [
            ("websockets-sansio", "websockets"),
            ("wsproto", "wsproto"),
            ("hypercorn", "wsproto"),
        ],
    )
    def test_library_that_is_different_inside(
        self, loop: str, ws: str, library: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its server is left alone: the application runs, without keepalive."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert not get_keepalive(scope).supported
            await echo(scope, receive, send)

        def unknown(*args: Any) -> Any:
            raise AttributeError

        known = getattr(libraries, f"{library}_is_known")
        monkeypatch.setattr(libraries, f"unparsed_by_{library}", unknown)
        known.cache_clear()
        try:
            with (
                running(serving(KeepaliveMiddleware(app), ws=ws, loop=loop)) as server,
                Client(server.port).open() as client,
            ):
                client.send(TEXT, b"alive")
                assert client.expect(TEXT) == b"alive"
                [warning] = server.complaints()
                assert "its connection is not what" in warning.getMessage()
        finally:
            known.cache_clear()

    def test_late_pong_changes_nothing(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())
            await asyncio.sleep(0.2)
            reports.put((await receive(), get_keepalive(scope).latency))

        server = serve(app, close_timeout=2)
        with Client(server.port).open() as client:
            ping = client.expect(PING)
            assert reports.get() == FAILED
            client.send(PONG, ping)
            client.send(TEXT, b"too late")
            assert reports.get() == (FAILED, None)

    def test_payloads_are_random_and_one_ping_is_in_flight(self, serve: Serve) -> None:
        server = serve(echo, ping_interval=0.02, ping_timeout=5)
        with Client(server.port).open() as client:
            client.socket.settimeout(0.3)
            payloads = [client.expect(PING)]
            with pytest.raises(TimeoutError):
                client.receive()
            for _ in range(10):
                client.send(PONG, payloads[-1])
                payloads.append(client.expect(PING))
            assert len(set(payloads)) == 11

    def test_without_timeout_pings_go_on(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await receive()
            reports.put(get_keepalive(scope).latency)

        server = serve(app, ping_interval=0.05, ping_timeout=None)
        with Client(server.port).open() as client:
            payloads = [client.expect(PING) for _ in range(5)]
            client.send(PONG, payloads[2])  # acknowledges the earlier ones, too
            client.send(PONG, payloads[0])
            client.send(TEXT, b"x")
            assert 0.1 - LATE < reports.get() < 0.1 + LATE

    def test_manual_pings(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            keepalive = get_keepalive(scope)
            with pytest.raises(ConnectionClosed):
                await keepalive.ping()
            await accept(receive, send)
            latencies = await asyncio.gather(keepalive.ping(), keepalive.ping())
            reports.put((latencies, keepalive.latency))
            with pytest.raises(PingTimeout, match=r"^no Pong for 0\.\d+ s$"):
                await keepalive.ping()
            await send({"type": "websocket.send", "text": "still open"})
            waiting = asyncio.ensure_future(keepalive.ping())
            await asyncio.sleep(0.05)
            await send({"type": "websocket.close", "code": 4000})
            with pytest.raises(ConnectionClosed):
                await waiting
            with pytest.raises(ConnectionClosed):
                await keepalive.ping()
            reports.put("done")

        server = serve(app, ping_interval=None)
        with Client(server.port).open() as client:
            first, second = client.expect(PING), client.expect(PING)
            client.send(PONG, second)
            (latency, _), last = reports.get()
            assert 0 < latency < LATE
            assert last > 0
            assert first != second
            client.expect(PING)
            assert client.expect(TEXT) == b"still open"
            client.expect(PING)
            assert close_code(client.expect(CLOSE)) == (4000, "")
            client.send(CLOSE, b"\x0f\xa0")
            assert reports.get() == "done"

    def test_manual_ping_ends_with_the_connection(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                await get_keepalive(scope).ping()
            except ConnectionError as error:
                reports.put(type(error))

        server = serve(app, ping_interval=None, ping_timeout=None)
        with Client(server.port).open() as client:
            client.expect(PING)
            client.send(CLOSE, b"\x03\xe8")
            assert reports.get() is ConnectionClosed
        server2 = serve(app)
        with Client(server2.port).open() as client:
            client.expect(PING)
            client.expect(PING)
        assert reports.get() in (ConnectionClosed, KeepaliveTimeout)
