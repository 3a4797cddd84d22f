"""`liveness="progress"`: when the server is asked, and what its answers lead to."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, Puppet, accepted, elapsed, in_no_time
from ..support.timeouts import FAILED


class Asked:
    """Notes when the server is asked for its traffic; what it tells grows as it is asked."""

    def __init__(self, server: FakeServer, step: int) -> None:
        self.at: list[float] = []
        self._server = server
        self._step = step
        server.tell_traffic = self

    def __call__(self) -> Any:
        self.at.append(elapsed())
        done = self._step * len(self.at)
        return {
            "unsent": 5_000,
            "quiet": elapsed(),
            "acknowledged": done,
            "unacknowledged": 2_000_000 - done,
            "received": 0,
        }


async def asked(
    buffered: int, step: int = 100_000, **settings: Any
) -> tuple[FakeServer, Puppet, Asked]:
    server, app = await accepted(**TIMES, **settings)
    server.buffered = buffered
    return server, app, Asked(server, step)


class TestAsks:
    @pytest.mark.parametrize("liveness", ["pong", "progress"])
    @in_no_time
    async def test_nothing_where_nothing_is_in_front_of_the_ping(self, liveness: str) -> None:
        server, _, asked_for = await asked(0, liveness=liveness, pong_after=9)
        await asyncio.sleep(100)
        assert len(server.pings) > 2
        assert asked_for.at == []

    @in_no_time
    async def test_nothing_with_pong(self) -> None:
        server, _, asked_for = await asked(1, pong_after=9)
        server.tell_buffered = lambda: pytest.fail("asked")
        await asyncio.sleep(100)
        assert asked_for.at == []

    @in_no_time
    async def test_nothing_for_a_manual_ping(self) -> None:
        _, app, asked_for = await asked(1, liveness="progress", pong_after=1)
        await app.keepalive.ping()
        assert asked_for.at == []

    @in_no_time
    async def test_behind_something_and_at_deadlines(self) -> None:
        server, app, asked_for = await asked(1, liveness="progress")
        await asyncio.sleep(55)
        server.pong(server.pings[0])
        await asyncio.sleep(10)
        assert asked_for.at == pytest.approx([20, 30, 40, 50, 55, 65])
        assert not app.keepalive.timed_out

    @in_no_time
    async def test_behind_the_ping_rather_than_before_it(self) -> None:
        """Or the Ping would not be counted."""
        server, _, asked_for = await asked(1, liveness="progress")
        before: list[int] = []
        server.on_ping = lambda: before.append(len(asked_for.at))
        await asyncio.sleep(25)
        assert (before, asked_for.at) == ([0], [20])


@in_no_time
async def test_without_progress_it_fails_with_what_was_counted() -> None:
    _, app, _ = await asked(1, 600, liveness="progress")
    assert await app.receive() == FAILED
    assert elapsed() == 30
    verdict = app.keepalive.verdict
    assert verdict is not None
    assert (verdict.acknowledged, verdict.received) == (600, 0)
    assert str(verdict) == "frozen: 5,000 bytes could not leave, 600 were acknowledged"


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
@in_no_time
async def test_log(level: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(level, "asgi_keepalive")
    server, _, _ = await asked(1, liveness="progress")
    await asyncio.sleep(35)
    expected = (
        f"192.0.2.1:50000 /chat: no Pong for Ping {server.pings[0].hex()}, but 100,000 bytes in "
        "front of it have been acknowledged: waiting for 10 s more"
    )
    told = [record.getMessage() for record in caplog.records if "but" in record.getMessage()]
    assert told == ([expected] if level == logging.DEBUG else [])


@pytest.mark.parametrize("lacks", [["traffic"], ["traffic", "buffered"]])
@in_no_time
async def test_without_level_5_it_is_pong(lacks: list[str]) -> None:
    server, app = await accepted(**TIMES, lacks=lacks, liveness="progress")
    server.buffered = 1
    assert await app.receive() == FAILED
    assert elapsed() == 30


@pytest.mark.parametrize("error", [KeyError(), asyncio.CancelledError()], ids=repr)
@in_no_time
async def test_buffered_that_raises(error: BaseException) -> None:
    def raises() -> Any:
        raise error

    server, _, asked_for = await asked(0, liveness="progress", pong_after=1)
    server.tell_buffered = raises
    await asyncio.sleep(25)
    assert asked_for.at == []


@in_no_time
async def test_server_that_does_not_tell_what_it_has_buffered() -> None:
    server, app = await accepted(**TIMES, lacks=["buffered"], liveness="progress")
    server.traffic = {"unsent": 5_000, "quiet": 2.0}
    assert await app.receive() == FAILED
    assert elapsed() == 40
