"""P2 and P3: `send()` raises at the moment of failure, and from then on."""

from __future__ import annotations

import asyncio

import pytest

from asgi_keepalive import KeepaliveTimeout

from ..support.connection import TIMES, outcome, until_failed
from ..support.fake_loop import accepted, elapsed, in_no_time
from ..support.timeouts import FAILED


class TestSender:
    @in_no_time
    async def test_blocked_send_raises_at_that_moment(self) -> None:
        server, app = await accepted(**TIMES)
        server.writable.clear()
        with pytest.raises(KeepaliveTimeout, match=r"^keepalive ping timeout, silent: ") as raised:
            await app.text("x")
        assert elapsed() == 30
        assert raised.value.verdict is app.keepalive.verdict
        assert raised.value.keepalive is app.keepalive
        assert server.sent[1:] == []

    @in_no_time
    async def test_every_blocked_call_is_released(self) -> None:
        server, app = await accepted(**TIMES)
        server.writable.clear()
        calls = [app.text("1"), app.receive(), app.text("2"), app.receive()]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert outcomes[1::2] == [FAILED, FAILED]
        assert [type(error) for error in outcomes[::2]] == [KeepaliveTimeout] * 2
        assert elapsed() == 30

    @in_no_time
    async def test_application_that_only_sends(self) -> None:
        server, app = await accepted(**TIMES)

        async def stream() -> None:
            while True:
                await app.text("x")
                await asyncio.sleep(0.75)

        with pytest.raises(KeepaliveTimeout):
            await stream()
        assert elapsed() == 30
        assert len(server.sent) == 1 + 40

    @in_no_time
    async def test_nothing_reaches_the_server_after_the_failure(self) -> None:
        server, app = await accepted(**TIMES)
        await until_failed(server)
        server.sent.clear()
        for event in (
            {"type": "websocket.send", "text": "x"},
            {"type": "websocket.close"},
            {"type": "websocket.accept"},
            {"type": "websocket.unknown"},
        ):
            with pytest.raises(KeepaliveTimeout):
                await app.send(event)
        assert server.sent == []

    @in_no_time
    async def test_send_that_ends_at_the_moment_of_failure_raises(self) -> None:
        """It can be told from one that was delivered no better than any other before it."""
        server, app = await accepted(**TIMES)
        server.writable.clear()

        def succeed() -> None:
            server.is_open = True
            server.writable.set()

        server.on_fail = succeed
        assert type(await outcome(app.text("x"))) is KeepaliveTimeout
        assert server.sent[-1]["text"] == "x"

    @in_no_time
    async def test_servers_own_error_is_the_cause(self) -> None:
        server, app = await accepted(**TIMES)
        server.writable.clear()
        server.on_fail = server.writable.set
        error = await outcome(app.text("x"))
        assert type(error) is KeepaliveTimeout
        assert repr(error.__cause__) == "ConnectionError('the WebSocket connection is not open')"
