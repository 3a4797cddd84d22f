"""Why a connection has been failed: what the evidence leads to, and where it comes from."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import Verdict, get_keepalive
from asgi_keepalive.verdict import judge

from .conftest import Reports, Serve
from .support.applications import accept, stream
from .support.client import BINARY, PING, TEXT, Client, frame
from .support.fake_loop import accepted, in_no_time
from .support.timeouts import FAILED, TIMEOUT


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        ({}, "silent: no Pong has come"),
        ({"quiet": 2.5, "unsent": 0}, "silent: nothing has come for 2.5 s"),
        ({"quiet": 2.03, "stalled": 0.5}, "silent: nothing has come for 2.03 s"),
        ({"quiet": 2.01, "stalled": 0.5}, "stalled: the event loop stood still for 0.5 s"),
        ({"quiet": 1.99}, "silent: nothing has come for 1.99 s"),
        ({"quiet": 1.97}, "unanswered: no Pong has come, the last of anything else 1.97 s ago"),
        ({"quiet": 0.25}, "unanswered: no Pong has come, the last of anything else 0.25 s ago"),
        ({"quiet": 2.5, "stalled": 0.5}, "silent: nothing has come for 2.5 s"),
        ({"quiet": 0.25, "stalled": 0.5}, "stalled: the event loop stood still for 0.5 s"),
        ({"stalled": 0.5}, "stalled: the event loop stood still for 0.5 s"),
        ({"unsent": 3_870_000}, "frozen: 3,870,000 bytes could not leave"),
        (
            {"unsent": 2_112_000, "acknowledged": 1600},
            "frozen: 2,112,000 bytes could not leave, 1,600 were acknowledged",
        ),
        ({"unsent": 5, "acknowledged": 0, "received": 0}, "frozen: 5 bytes could not leave"),
        (
            {"quiet": 0.25, "received": 9},
            "unanswered: no Pong has come, the last of anything else 0.25 s ago, 9 bytes in all",
        ),
        ({"unsent": 1, "quiet": 0.25, "stalled": 0.5}, "frozen: 1 bytes could not leave"),
        (
            {"behind": 1.5, "unsent": 1, "stalled": 0.5},
            "application behind: its unread messages have kept the server from reading for 1.5 s",
        ),
        # As long as that has been allowed for it is no excuse any more.
        ({"behind": 1.0, "unsent": 1}, "frozen: 1 bytes could not leave"),
        (
            {"behind": 0.5, "quiet": 0.25},
            "unanswered: no Pong has come, the last of anything else 0.25 s ago",
        ),
        ({"behind": 0.5}, "silent: no Pong has come"),
    ],
)
def test_judge(evidence: dict[str, Any], text: str) -> None:
    traffic: Any = {name: evidence[name] for name in ("quiet", "unsent") if name in evidence}
    paused, stalled = evidence.get("behind", 0.0), evidence.get("stalled", 0.0)
    counted = {name: evidence.get(name) for name in ("acknowledged", "received")}
    verdict = judge(traffic, waited=2.0, timeout=1.0, paused=paused, stalled=stalled, **counted)
    assert str(verdict) == text
    assert text.startswith(verdict.reason)
    for name, value in evidence.items():
        assert getattr(verdict, name) == value


@pytest.mark.parametrize(("quiet", "received"), [(1.97, None), (1.98, 0), (None, None)])
def test_that_nothing_has_come_is_known_without_a_count(
    quiet: float | None, received: int | None
) -> None:
    verdict = judge({"quiet": quiet}, waited=2.0, timeout=1.0, paused=0.0, stalled=0.0)
    assert (verdict.received, verdict.acknowledged) == (received, None)


@in_no_time
async def test_there_is_none_without_a_failure() -> None:
    server, app = await accepted(ping_interval=20, ping_timeout=10, pong_after=1)
    await asyncio.sleep(100)
    server.disconnect(1000)
    await app.receive()
    assert app.keepalive.verdict is None


class TestOnRealServers:
    """The `websocket.ping` extension's traffic, and what it leads to."""

    @pytest.fixture(params=["ws", "wss"])
    def secure(
        self, request: pytest.FixtureRequest, tls: ssl.SSLContext, tls_config: dict[str, str]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        return ({"tls": tls}, tls_config) if request.param == "wss" else ({}, {})

    def test_silent(
        self, serve: Serve, reports: Reports, secure: tuple[dict[str, Any], dict[str, str]]
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            assert await receive() == FAILED
            reports.put(get_keepalive(scope).verdict)

        server = serve(app, **secure[1])
        with Client(server.port, **secure[0]).open():
            verdict: Verdict = reports.get()
        assert verdict.reason == "silent"
        assert verdict.waited >= TIMEOUT - 0.002
        assert verdict.quiet is not None
        assert verdict.waited <= verdict.quiet < 5
        assert (verdict.unsent, verdict.behind) == (0, None)
        [record] = [r for r in server.records if hasattr(r, "keepalive")]
        assert record.keepalive["reason"] == "silent"

    def test_frozen(
        self, serve: Serve, reports: Reports, secure: tuple[dict[str, Any], dict[str, str]]
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put((await stream(send)).verdict)

        server = serve(app, **secure[1])
        with Client(server.port, receive_buffer=4096, **secure[0]).open():
            verdict: Verdict = reports.get()
        assert verdict.reason == "frozen"
        assert verdict.unsent is not None
        assert verdict.unsent > 16384

    def test_frozen_while_nothing_more_is_sent(self, serve: Serve, reports: Reports) -> None:
        """All has left the server, but not the machine."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.send", "bytes": bytes(100_000)})
            assert await receive() == FAILED
            reports.put(get_keepalive(scope).verdict)

        server = serve(app)
        with Client(server.port, receive_buffer=4096).open():
            verdict: Verdict = reports.get()
        assert verdict.reason == "frozen"

    def test_application_behind(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await asyncio.sleep(4 * TIMEOUT)
            while await receive() != FAILED:
                pass
            reports.put(get_keepalive(scope).verdict)

        server = serve(app, expect=("application behind",))
        with Client(server.port).open() as client:
            client.socket.settimeout(0.2)
            with suppress(TimeoutError, ConnectionError):
                for _ in range(400):
                    client.socket.sendall(frame(BINARY, bytes(10_000)) * 10)
            verdict: Verdict = reports.get()
        assert verdict.reason == "application behind"
        assert verdict.behind is not None
        assert TIMEOUT < verdict.behind <= verdict.waited < 5

    def test_stalled(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            assert (await receive())["text"] == "stall"
            time.sleep(2 * TIMEOUT)  # noqa: ASYNC251 - that is the point
            assert await receive() == FAILED
            reports.put(get_keepalive(scope).verdict)

        server = serve(app)
        with Client(server.port).open() as client:
            client.expect(PING)
            time.sleep(0.05)
            client.send(TEXT, b"stall")
            verdict: Verdict = reports.get()
        assert verdict.reason == "stalled"
        assert 2 * TIMEOUT - 0.1 < verdict.stalled < 5

    def test_peer_that_sends_everything_but_pongs(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            while await receive() != FAILED:
                pass
            reports.put(get_keepalive(scope).verdict)

        server = serve(app, expect=("unanswered: no Pong has come",))
        with Client(server.port).open() as client:
            with suppress(ConnectionError):
                while reports.empty():
                    client.send(TEXT, b"here I am")
                    time.sleep(0.01)
            verdict: Verdict = reports.get()
        assert verdict.quiet is not None
        assert verdict.quiet < verdict.waited
        assert verdict.reason == "unanswered" or verdict.stalled
        [record] = [r for r in server.records if hasattr(r, "keepalive")]
        assert record.levelno == logging.WARNING
