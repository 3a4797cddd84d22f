"""`Keepalive.configure`: settings that change on a live connection."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import Keepalive, KeepaliveMiddleware, get_keepalive
from asgi_keepalive.settings import Settings

from .conftest import Reports, Serve
from .support.applications import accept
from .support.asking import ASKING, LaxServer, next_heartbeat
from .support.client import PING, PONG, TEXT, Client
from .support.fake_loop import FakeServer, Puppet, accepted, elapsed, fake_loop, in_no_time
from .support.server import freed
from .support.timeouts import FAILED, LATE, TIMEOUT

TIMES: dict[str, Any] = {"ping_interval": 20, "ping_timeout": 10}


async def configured(
    after: float, pong_after: float | None = None, **settings: Any
) -> tuple[FakeServer, Puppet]:
    """Return both ends of a connection whose settings changed some time after accept."""
    server, app = await accepted(**TIMES, pong_after=pong_after)
    await asyncio.sleep(after)
    app.keepalive.configure(**settings)
    return server, app


class TestInterval:
    @pytest.mark.parametrize(
        ("after", "interval", "pinged_at"),
        [
            (3, 5, [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]),
            (15, 5, [15, 20, 25, 30, 35, 40, 45, 50, 55]),  # overdue: at once
            (3, 50, [50]),
            (22, 5, [20, 25, 30, 35, 40, 45, 50, 55]),
            (22, 39, [20, 59]),
            (22, None, [20]),
        ],
    )
    @in_no_time
    async def test_runs_from_the_last_ping(
        self, after: float, interval: float | None, pinged_at: list[float]
    ) -> None:
        server, app = await configured(after, ping_interval=interval, pong_after=1)
        assert app.keepalive.ping_interval == interval
        assert app.keepalive.ping_timeout == 10
        await asyncio.sleep(59.5 - after)
        assert server.pinged_at == pytest.approx(pinged_at)

    @in_no_time
    async def test_after_none_it_runs_again(self) -> None:
        server, app = await configured(5, ping_interval=None, pong_after=1)
        await asyncio.sleep(95)
        app.keepalive.configure(ping_interval=7)
        await asyncio.sleep(10)
        assert server.pinged_at == pytest.approx([100, 107])

    @in_no_time
    async def test_between_a_ping_and_its_pong(self) -> None:
        server, _ = await configured(20.5, ping_interval=2, pong_after=5)
        await asyncio.sleep(10)
        assert server.pinged_at == pytest.approx([20, 25, 30])  # one in flight at most


class TestTimeout:
    @pytest.mark.parametrize("changed", [1, 100])
    @in_no_time
    async def test_a_ping_in_flight_keeps_its_deadline(self, changed: float) -> None:
        _, app = await configured(22, ping_timeout=changed)
        assert (app.keepalive.ping_interval, app.keepalive.ping_timeout) == (20, changed)
        assert await app.receive() == FAILED
        assert elapsed() == 30

    @in_no_time
    async def test_the_next_ping_has_the_new_one(self) -> None:
        server, app = await configured(22, ping_timeout=1, pong_after=5)
        assert await app.receive() == FAILED
        assert server.pinged_at == [20, 40]
        assert elapsed() == 41

    @pytest.mark.parametrize("name", ["ping_interval", "ping_timeout"])
    @in_no_time
    async def test_none_cancels_the_deadline(self, name: str) -> None:
        server, app = await configured(22, **{name: None})
        await asyncio.sleep(1000)
        assert not app.keepalive.timed_out
        assert (len(server.pings) > 10) == (name == "ping_timeout")

    @in_no_time
    async def test_after_none_only_new_pings_have_a_deadline(self) -> None:
        server, app = await configured(22, ping_timeout=None)
        await asyncio.sleep(40)
        assert server.pinged_at == [20, 40, 60]
        app.keepalive.configure(ping_timeout=3)
        assert await app.receive() == FAILED
        assert elapsed() == 83


class TestCloseTimeout:
    @in_no_time
    async def test_bounds_a_failure_and_every_other_ending(self) -> None:
        server, app = await configured(22, close_timeout=3)
        assert (app.keepalive.close_timeout, server.close_timeout) == (3, 3)
        assert await app.receive() == FAILED
        assert server.failures == [(1011, "keepalive ping timeout", 3)]

    @in_no_time
    async def test_stays_as_it_is_unless_given(self) -> None:
        server, app = await configured(22, ping_timeout=3)
        assert (app.keepalive.close_timeout, server.close_timeout) == (10, 10)


class TestLiveness:
    @in_no_time
    async def test_counts_for_a_ping_in_flight(self) -> None:
        server, app = await accepted(**TIMES)
        assert app.keepalive.liveness == "pong"
        await asyncio.sleep(22)
        app.keepalive.configure(liveness="progress")
        assert (app.keepalive.liveness, app.keepalive.ping_timeout) == ("progress", 10)
        server.traffic = {"quiet": 1.0}
        assert await app.receive() == FAILED
        assert elapsed() == 40


class TestWhenever:
    @in_no_time
    async def test_before_accept(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            get_keepalive(scope).configure(ping_interval=5)
            await Puppet.__call__(puppet, scope, receive, send)

        puppet = Puppet()
        server = FakeServer(KeepaliveMiddleware(app, **TIMES), pong_after=1)
        await asyncio.sleep(11)
        assert server.pinged_at == [5, 10]

    @in_no_time
    async def test_after_the_end(self) -> None:
        server, app = await accepted(**TIMES)
        app.returns()
        await server.task
        app.keepalive.configure(ping_interval=1)
        await asyncio.sleep(5)
        assert server.pings == []
        assert fake_loop().timers() == []

    @in_no_time
    async def test_after_a_failure(self) -> None:
        server, app = await accepted(**TIMES)
        await app.receive()
        app.keepalive.configure(ping_interval=1)
        await asyncio.sleep(5)
        assert len(server.pings) == 1

    def test_where_nothing_is_supported(self) -> None:
        keepalive = Keepalive(Settings())
        keepalive.configure(ping_interval=1)
        assert (keepalive.supported, keepalive.ping_interval) == (False, 1)

    def test_nothing_given_changes_nothing(self) -> None:
        keepalive = Keepalive(Settings(1, None, 3))
        keepalive.configure()
        assert (keepalive.ping_interval, keepalive.ping_timeout) == (1, None)
        assert keepalive.close_timeout == 3


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (
            {"ping_interval": 0},
            ValueError,
            "ping_interval must be a positive number of seconds or None, not 0",
        ),
        (
            {"ping_interval": 3, "close_timeout": None},
            TypeError,
            "close_timeout must be a number of seconds, 0 or more, not None",
        ),
        (
            {"ping_interval": 3, "ping_timeout": "4"},
            TypeError,
            "ping_timeout must be a positive number of seconds or None, not '4'",
        ),
        (
            {"ping_interval": 3, "liveness": "any"},
            ValueError,
            'liveness must be "pong" or "progress", not \'any\'',
        ),
    ],
)
@in_no_time
async def test_what_is_refused_changes_nothing(
    given: dict[str, Any], error: type[Exception], text: str
) -> None:
    server, app = await accepted(**TIMES, pong_after=1)
    with pytest.raises(error) as raised:
        app.keepalive.configure(**given)
    assert str(raised.value) == text
    assert (app.keepalive.ping_interval, app.keepalive.ping_timeout) == (20, 10)
    await asyncio.sleep(41)
    assert server.pinged_at == [20, 40]


def test_what_is_no_setting_of_a_live_connection() -> None:
    configure: Any = Keepalive(Settings()).configure
    with pytest.raises(TypeError, match="required"):
        configure(required=True)
    with pytest.raises(TypeError, match="positional"):
        configure(1)


class TestOfAPage:
    """One that asked for heartbeats has to know, or it would raise a false alarm."""

    @in_no_time
    async def test_is_told_at_once(self) -> None:
        server = LaxServer()
        await asyncio.sleep(25)
        server.app.keepalive.configure(ping_interval=3)
        await asyncio.sleep(5)
        assert server.beats == [0, 10, 20, 25, 28]
        assert '"interval":3,' in server.sent[-1]["text"]

    @in_no_time
    async def test_is_told_that_no_more_will_come_and_that_they_come_again(self) -> None:
        server = LaxServer()
        await asyncio.sleep(5)
        server.app.keepalive.configure(ping_interval=None)
        await asyncio.sleep(1000)
        assert server.beats == [0, 5]
        assert '"interval":null,' in server.sent[-1]["text"]
        server.app.keepalive.configure(ping_interval=100)
        await asyncio.sleep(150)
        assert server.beats == [0, 5, 1005, 1105]

    @in_no_time
    async def test_is_told_though_a_message_is_on_the_way(self) -> None:
        server = LaxServer()
        await asyncio.sleep(5)
        server.writable.clear()
        sending = asyncio.create_task(server.app.text("mine"))
        await asyncio.sleep(1)
        server.app.keepalive.configure(ping_interval=60)
        await asyncio.sleep(1)
        server.writable.set()
        await sending
        await asyncio.sleep(62)
        assert server.beats == [0, 7, 67]
        assert '"interval":60,' in server.sent[-1]["text"]

    @in_no_time
    async def test_after_the_end_nothing_is_left(self) -> None:
        server = LaxServer()
        await asyncio.sleep(5)
        server.app.returns()
        await server.task
        server.app.keepalive.configure(ping_interval=1)
        await asyncio.sleep(5)
        assert server.beats == [0]
        assert server.app.keepalive._on_news is None


class TestOnRealServers:
    @pytest.mark.parametrize("loop", ["asyncio"])
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_close_timeout_configured_before_or_after_accept(
        self, serve: Serve, reports: Reports, when: str
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if when == "before":
                get_keepalive(scope).configure(close_timeout=0.3)
            await accept(receive, send)
            with suppress(TimeoutError):  # not every server lets it wait for a frozen peer
                sending = send({"type": "websocket.send", "bytes": bytes(500_000)})
                await asyncio.wait_for(sending, 0.1)
            if when == "after":
                get_keepalive(scope).configure(close_timeout=0.3)
            reports.put(time.monotonic())

        server = serve(app, ping_interval=20, close_timeout=20)
        with Client(server.port, receive_buffer=4096).open() as client:
            returned = reports.get()
            freed(server, client, 0.3)
            assert time.monotonic() - returned >= 0.3

    def test_client_that_asks_for_other_pings(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            keepalive = get_keepalive(scope)
            while (event := await receive())["type"] == "websocket.receive":
                keepalive.configure(ping_interval=float(event["text"]))
            reports.put(event)

        server = serve(app, ping_interval=20)
        with Client(server.port, path=ASKING).open() as client:
            assert next_heartbeat(client)["interval"] == 20
            client.send(TEXT, b"0.1")
            asked = time.monotonic()
            assert next_heartbeat(client)["interval"] == 0.1
            while (frame := client.receive())[0] != PING:
                assert frame[0] == TEXT
            assert 0.1 - 0.01 < time.monotonic() - asked < 0.1 + LATE
            client.send(TEXT, b"20")
            client.send(PONG, frame[1])
            assert len(client.answer(3 * TIMEOUT)) < 5
            client.send(TEXT, b"0.1")
            while (frame := client.receive())[0] != PING:
                assert frame[0] == TEXT
            assert reports.get() == FAILED  # as this one is not answered
