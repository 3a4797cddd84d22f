"""What the middleware promises on a server that offers only some levels of the extension."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgi_keepalive import KeepaliveTimeout

from ..support.connection import TIMES, outcome
from ..support.fake_loop import accepted, elapsed, fake_loop, in_no_time
from ..support.timeouts import FAILED

BEYOND_LEVEL_1 = ["fail", "read_ahead", "bound_closing", "traffic"]
CLOSE = {"type": "websocket.close", "code": 1011, "reason": "keepalive ping timeout"}


class TestLevel1:
    """Pings and Pongs; the socket is the server's affair."""

    @in_no_time
    async def test_application_is_told_on_time_and_the_peer_by_an_ordinary_close(self) -> None:
        server, app = await accepted(**TIMES, lacks=BEYOND_LEVEL_1)
        assert await app.receive() == FAILED
        assert elapsed() == 30
        await asyncio.sleep(0)
        assert server.sent[-1] == CLOSE
        assert app.keepalive.supported
        assert app.keepalive.timed_out

    @in_no_time
    async def test_sender_that_blocks_is_released_though_the_close_has_to_wait(self) -> None:
        server, app = await accepted(**TIMES, close_timeout=5, lacks=BEYOND_LEVEL_1)
        server.writable.clear()
        with pytest.raises(KeepaliveTimeout):
            await app.text("blocks")
        assert elapsed() == 40  # once more the timeout, as nobody was receiving
        await asyncio.sleep(6)
        assert server.sent[1:] == []
        assert fake_loop().timers() == []  # the close has been given up

    @in_no_time
    async def test_server_whose_close_raises(self) -> None:
        server, app = await accepted(**TIMES, lacks=BEYOND_LEVEL_1)
        server.is_open = False
        server.writable.clear()
        fake_loop().call_later(31, server.writable.set)
        app.keepalive._link._levels.ping = lambda payload: None  # type: ignore[union-attr]
        assert await app.receive() == FAILED
        await asyncio.sleep(5)

    @in_no_time
    async def test_peer_that_answers_lives(self) -> None:
        server, app = await accepted(**TIMES, pong_after=1, lacks=BEYOND_LEVEL_1)
        await asyncio.sleep(1000)
        assert len(server.pinged_at) == 50
        assert not app.keepalive.timed_out

    @in_no_time
    async def test_what_is_missing_is_said_for_debugging(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "asgi_keepalive")
        await accepted(**TIMES, lacks=["fail", "traffic"])
        assert caplog.messages == [
            "192.0.2.1:50000 /chat: the server offers no fail, traffic; "
            "docs/extension.md says what it cannot promise"
        ]


class TestWithoutLevel3:
    """Nobody knows whether the server reads while the application does not receive."""

    @in_no_time
    async def test_application_that_does_not_receive_has_one_more_timeout(self) -> None:
        server, app = await accepted(**TIMES, lacks=["read_ahead"])
        await asyncio.sleep(39.9)
        server.pong(server.pings[0])  # it was behind unread messages
        await asyncio.sleep(10)
        assert not app.keepalive.timed_out
        await asyncio.sleep(60)
        assert app.keepalive.verdict is not None
        assert app.keepalive.verdict.reason == "application behind"

    @in_no_time
    async def test_time_in_which_it_receives_counts(self) -> None:
        _, app = await accepted(**TIMES, lacks=["read_ahead"])
        await asyncio.sleep(24)
        asking = asyncio.ensure_future(outcome(asyncio.wait_for(app.receive(), 3)))
        also_asking = asyncio.ensure_future(outcome(asyncio.wait_for(app.receive(), 2)))
        await asyncio.gather(asking, also_asking)
        await asyncio.sleep(3)
        assert await app.receive() == FAILED
        assert elapsed() == 30 + 4 + 3


@in_no_time
async def test_without_level_5_a_verdict_has_no_evidence() -> None:
    _, app = await accepted(**TIMES, lacks=["traffic"])
    await app.receive()
    verdict = app.keepalive.verdict
    assert verdict is not None
    assert (verdict.reason, verdict.quiet, verdict.unsent) == ("silent", None, None)


@in_no_time
async def test_without_level_4_nothing_is_bounded() -> None:
    server, app = await accepted(**TIMES, close_timeout=3, lacks=["bound_closing"])
    assert server.close_timeout is None
    await app.receive()
    assert server.failures == [(1011, "keepalive ping timeout", 3)]


@pytest.mark.parametrize("error", [KeyError(), asyncio.CancelledError()], ids=repr)
@in_no_time
async def test_traffic_that_raises(error: BaseException) -> None:
    def raises() -> Any:
        raise error

    server, app = await accepted(**TIMES)
    server.tell_traffic = raises
    assert await app.receive() == FAILED
    verdict = app.keepalive.verdict
    assert verdict is not None
    assert verdict.quiet is None


@pytest.mark.parametrize("traffic", [None, [], {"unsent": 5, "quiet": 7.5, "else": 1}], ids=repr)
@in_no_time
async def test_traffic_of_any_kind(traffic: Any) -> None:
    server, app = await accepted(**TIMES)
    server.traffic = traffic
    assert await app.receive() == FAILED
    verdict = app.keepalive.verdict
    assert verdict is not None
    assert (verdict.quiet, verdict.unsent) == ((7.5, 5) if traffic else (None, None))
