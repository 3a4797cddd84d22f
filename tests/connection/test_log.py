"""What the log says of a connection, and at which level."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware

from ..support.connection import TIMES, paused, until_failed
from ..support.fake_loop import FakeServer, Puppet, accepted, elapsed, fake_loop, in_no_time
from ..support.timeouts import FAILED


class TestLog:
    @pytest.fixture(autouse=True)
    def _level(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "asgi_keepalive")

    @in_no_time
    async def test_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        _, app = await accepted(**TIMES)
        await app.receive()
        assert caplog.record_tuples == [
            (
                "asgi_keepalive",
                logging.INFO,
                "192.0.2.1:50000 /chat: keepalive ping timeout, no Pong for 10 s, "
                "last latency unknown; silent: no Pong has come",
            )
        ]
        [record] = caplog.records
        assert record.keepalive == {  # type: ignore[attr-defined]
            "client": "192.0.2.1:50000",
            "path": "/chat",
            "latency": None,
            "reason": "silent",
            "waited": 10,
            "quiet": None,
            "unsent": None,
            "behind": None,
            "stalled": 0,
            "acknowledged": None,
            "received": None,
        }

    @in_no_time
    async def test_context_is_the_applications(self) -> None:
        """A filter of the log may add what a context variable says, the request's name perhaps."""

        def note(record: logging.LogRecord) -> bool:
            seen.append(request.get("none"))
            return True

        request: contextvars.ContextVar[str] = contextvars.ContextVar("request")
        seen: list[str] = []
        request.set("application")
        logger = logging.getLogger("asgi_keepalive")
        logger.addFilter(note)
        try:
            server, app = await accepted(**TIMES, pong_after=1)
            request.set("another")
            await asyncio.sleep(100)
            server.pong_after = None
            await app.receive()
        finally:
            logger.removeFilter(note)
        assert set(seen) == {"application"}

    @in_no_time
    async def test_failure_after_a_pong(self, caplog: pytest.LogCaptureFixture) -> None:
        server, app = await accepted(**TIMES, pong_after=0.0125)
        await asyncio.sleep(30)
        server.pong_after = None
        await app.receive()
        assert caplog.messages == [
            "192.0.2.1:50000 /chat: keepalive ping timeout, no Pong for 10 s, "
            "last latency 0.0125 s; silent: no Pong has come"
        ]

    @pytest.mark.parametrize("scope", [{"client": None}, {"client": ()}])
    @in_no_time
    async def test_unknown_client(
        self, caplog: pytest.LogCaptureFixture, scope: dict[str, Any]
    ) -> None:
        _, app = await accepted(**TIMES, scope=scope)
        await app.receive()
        assert caplog.messages == [
            "unknown client /chat: keepalive ping timeout, no Pong for 10 s, last latency unknown; "
            "silent: no Pong has come"
        ]

    @in_no_time
    async def test_scope_that_names_neither_client_nor_path(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = Puppet()
        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        del server.scope["client"], server.scope["path"]
        await until_failed(server)
        assert caplog.messages == [
            "unknown client : keepalive ping timeout, no Pong for 10 s, last latency unknown; "
            "silent: no Pong has come"
        ]

    @in_no_time
    async def test_application_that_was_behind(self, caplog: pytest.LogCaptureFixture) -> None:
        """It is told in all, also if reading goes on again at that moment."""
        server, app = await accepted(**TIMES)
        await paused(server, 5, 6)
        await paused(server, 21, 22)
        await paused(server, 22.5, 40)
        assert await app.receive() == FAILED
        assert elapsed() == 40
        assert caplog.record_tuples == [
            (
                "asgi_keepalive",
                logging.WARNING,
                "192.0.2.1:50000 /chat: keepalive ping timeout, no Pong for 20 s, "
                "last latency unknown; application behind: its unread messages have kept "
                "the server from reading for 18.5 s",
            )
        ]

    @pytest.mark.parametrize("pause", [(0, 20), (22, 25)])
    @in_no_time
    async def test_application_that_caught_up(
        self, caplog: pytest.LogCaptureFixture, pause: tuple[float, float]
    ) -> None:
        server, app = await accepted(**TIMES)
        await paused(server, *pause)
        await app.receive()
        [record] = caplog.records
        assert record.levelno == logging.INFO
        assert app.keepalive.verdict
        assert app.keepalive.verdict.reason == "silent"
        assert app.keepalive.verdict.behind == (3 if pause[1] == 25 else None)

    @in_no_time
    async def test_stalled_loop(self, caplog: pytest.LogCaptureFixture) -> None:
        _, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        fake_loop().stall(500)
        await app.receive()
        assert caplog.record_tuples == [
            (
                "asgi_keepalive",
                logging.WARNING,
                "192.0.2.1:50000 /chat: keepalive ping timeout, no Pong for 518 s, "
                "last latency unknown; stalled: the event loop stood still for 500 s",
            )
        ]

    @in_no_time
    async def test_both(self, caplog: pytest.LogCaptureFixture) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        server.on_read_paused(True, time.monotonic())
        fake_loop().stall(500)
        assert await app.receive() == FAILED
        assert caplog.messages == [
            "192.0.2.1:50000 /chat: keepalive ping timeout, no Pong for 518 s, "
            "last latency unknown; application behind: its unread messages have kept "
            "the server from reading for 510 s"
        ]
        assert app.keepalive.verdict
        assert app.keepalive.verdict.stalled == pytest.approx(500)

    @in_no_time
    async def test_pings_and_pongs_are_for_debugging(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "asgi_keepalive")
        server, _ = await accepted(ping_interval=20, pong_after=1)
        await asyncio.sleep(22)
        server.pong(b"unknown")
        payload = server.pings[0].hex()
        assert caplog.record_tuples == [
            ("asgi_keepalive", logging.DEBUG, f"192.0.2.1:50000 /chat: Ping {payload}"),
            ("asgi_keepalive", logging.DEBUG, f"192.0.2.1:50000 /chat: Pong {payload}"),
        ]
