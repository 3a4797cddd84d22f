"""The connections that are open, as the dashboard's observer keeps them."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_keepalive import Keepalive, KeepaliveMiddleware
from asgi_keepalive.dashboard import telling
from asgi_keepalive.heartbeat import Heartbeat, Ping
from asgi_keepalive.observers.live import FAILURES, RECENT, LiveConnection, LiveConnections
from asgi_keepalive.settings import Settings
from asgi_keepalive.text import LONGEST
from asgi_keepalive.verdict import judge

from ..support.fake_loop import FakeServer, Puppet, in_no_time, ticks
from ..support.observers import added
from ..support.timeouts import FAILED


async def accepted(
    live: LiveConnections, path: str = "/chat", pong_after: float | None = 1.0, **settings: Any
) -> tuple[FakeServer, Puppet]:
    app = Puppet()
    settings = {"ping_interval": 20, "ping_timeout": 15, **settings}
    wrapped = KeepaliveMiddleware(app, observers=[live], **settings)
    server = FakeServer(wrapped, pong_after=pong_after, path=path)
    await ticks()
    return server, app


def state(connection: LiveConnection) -> str:
    return connection.state


class TestConnections:
    @in_no_time
    async def test_from_the_beginning_to_the_end(self) -> None:
        live = LiveConnections()
        _, first = await accepted(live, "/first")
        await asyncio.sleep(5)
        server, app = await accepted(live, "/second", pong_after=2)
        assert [connection.path for connection in live] == ["/first", "/second"]
        assert len(live) == 2
        one, other = live
        assert (one.number, one.client, one.age) == (1, "192.0.2.1:50000", 5)
        assert other.keepalive is app.keepalive
        assert (one.state, one.waiting, one.since_last_pong) == ("new", None, None)
        await asyncio.sleep(45)
        assert (one.state, one.statistics.count) == ("ok", 2)
        assert one.recent == [1, 1]
        assert one.history == [(29, 1), (9, 1)]
        assert one.since_last_pong == 9
        assert live.slowest_first() == [other, one]
        first.returns()
        await ticks()
        assert list(live) == [other]
        server.disconnect(1000)
        await app.receive()
        assert list(live) == []
        assert list(live.failures) == []

    @in_no_time
    async def test_one_that_waits(self) -> None:
        live = LiveConnections()
        server, app = await accepted(live)
        [connection] = live
        await asyncio.sleep(30)
        server.pong_after = None
        await asyncio.sleep(11)
        ping = asyncio.create_task(app.keepalive.ping())
        await asyncio.sleep(1.25)
        assert connection.waiting == 2.25  # since the second Ping, at 40
        assert connection.slowness == 2.25
        # SRTT 1, RTTVAR 0.5: after 3 s it is late.
        assert state(connection) == "ok"
        await asyncio.sleep(0.8)
        assert state(connection) == "late"
        server.pong(server.pings[-1])
        await ping
        assert state(connection) == "ok"

    @in_no_time
    async def test_pong_that_answers_the_first_of_two_pings(self) -> None:
        live = LiveConnections()
        server, app = await accepted(live, pong_after=None)
        [connection] = live
        await asyncio.sleep(19)
        ping = asyncio.create_task(app.keepalive.ping())
        await asyncio.sleep(3)
        server.pong(server.pings[0])
        assert await ping == 3
        assert connection.waiting == 2  # for the second one, of 20
        await asyncio.sleep(8)
        assert connection.state == "late"
        server.pong(server.pings[1])
        assert connection.waiting is None

    @pytest.mark.parametrize(("waited", "expected"), [(0.9, "new"), (1.1, "late")])
    @in_no_time
    async def test_one_that_waits_for_its_first_pong(self, waited: float, expected: str) -> None:
        live = LiveConnections()
        await accepted(live, pong_after=None)
        await asyncio.sleep(20 + waited)
        [connection] = live
        assert state(connection) == expected

    @in_no_time
    async def test_one_that_answers_at_once_is_late_after_a_second(self) -> None:
        """RFC 6298 2.4."""
        live = LiveConnections()
        server, _ = await accepted(live, pong_after=0.001)
        await asyncio.sleep(30)
        server.pong_after = None
        [connection] = live
        await asyncio.sleep(10.9)
        assert state(connection) == "ok"
        await asyncio.sleep(0.2)
        assert state(connection) == "late"

    @in_no_time
    async def test_failure(self) -> None:
        live = LiveConnections()
        _, app = await accepted(live, pong_after=None)
        assert await app.receive() == FAILED
        assert list(live) == []
        [failure] = live.failures
        assert (failure.client, failure.path) == ("192.0.2.1:50000", "/chat")
        assert failure.verdict is app.keepalive.verdict
        assert (failure.number, failure.age, failure.history) == (1, 35, [])
        assert abs(failure.at - time.time()) < 60

    @in_no_time
    async def test_memory_is_bounded(self) -> None:
        live = LiveConnections()
        connection = added(live, 1, *map(float, range(2 * RECENT)))
        assert connection.recent == list(range(RECENT, 2 * RECENT))
        assert len(connection.history) == len(connection._recent) // 2 == RECENT
        verdict = judge({}, waited=1, timeout=1, paused=0, stalled=0)
        for _ in range(2 * FAILURES):
            connection.failed(verdict)
        assert len(live.failures) == FAILURES

    def test_what_a_client_chooses_is_cut(self) -> None:
        live = LiveConnections()
        keepalive = Keepalive(Settings())
        chosen = {"client": ("x" * 50_000, 1), "path": "/" + "x" * 50_000}
        connection = live({**chosen, "state": {"keepalive": keepalive}})
        connection.failed(judge({}, waited=1, timeout=1, paused=0, stalled=0))
        [failure] = live.failures
        for kept in connection, failure:
            assert len(kept.client) == len(kept.path) == LONGEST

    def test_found_by_its_number(self) -> None:
        live = LiveConnections()
        connection = added(live, 5)
        assert live.find(connection.number) is connection
        connection.closed()
        assert live.find(connection.number) is None

    @in_no_time
    async def test_some_may_close_while_one_looks(self) -> None:
        live = LiveConnections()
        for number in range(3):
            added(live, number)
        for connection in live:
            connection.closed()
        assert list(live) == []


class TestFromAnotherThread:
    """What reads may come between any two steps of what writes."""

    @pytest.fixture(autouse=True)
    def switching(self) -> Iterator[None]:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        yield
        sys.setswitchinterval(interval)

    @pytest.mark.parametrize(
        "read",
        [
            lambda live: [one.waiting for one in live],
            lambda live: [(one.state, one.is_late, one.since_last_pong) for one in live],
            lambda live: [list(reversed(one.recent)) for one in live],
            lambda live: live.slowest_first(),
            lambda live: [failure.at for failure in live.failures],
            lambda live: [telling.connection(one, whole=True) for one in live],
            lambda live: telling.timeline(live.timeline),
        ],
    )
    def test_everything_can_be_read(self, read: Callable[[LiveConnections], object]) -> None:
        def write() -> None:
            for number in itertools.count():
                connection = added(live, number, 0.25)
                for one in live:
                    one.pinged()
                    one.ponged(0.25)
                connection.failed(verdict)
                if number % 10:
                    connection.closed()
                if done:
                    break

        live = LiveConnections()
        verdict = judge({}, waited=1, timeout=1, paused=0, stalled=0)
        done: list[bool] = []
        thread = threading.Thread(target=write)
        thread.start()
        try:
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                read(live)
        finally:
            done.append(True)
            thread.join()

    def test_pong_that_comes_while_one_looks(self) -> None:
        class Answered(list[Ping]):
            def __bool__(self) -> bool:
                self.clear()
                return True

            def __len__(self) -> int:
                length = super().__len__()
                self.clear()
                return length

        heartbeat = Heartbeat(Settings())
        heartbeat._pings = Answered([Ping(b"", 1.0, manual=False)])
        assert heartbeat.awaited_since == 1
        heartbeat._pings = Answered()
        assert heartbeat.awaited_since is None

    def test_statistics_are_those_of_one_moment(self) -> None:
        class Latency(float):
            def __sub__(self, other: float) -> float:
                seen.append(keepalive.statistics)
                return super().__sub__(other)

            def __lt__(self, other: float) -> bool:
                seen.append(keepalive.statistics)
                return super().__lt__(other)

        keepalive = Keepalive(Settings())
        keepalive._round_trips.add(1.0, 10.0)
        seen = [keepalive.statistics]
        keepalive._round_trips.add(Latency(2.0), 20.0)
        assert len(seen) >= 3
        assert len(set(seen)) == 1
        assert keepalive.statistics.maximum == 2
