"""One connection, to the microsecond: the promises on a server that does only what it is told."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import random
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from asgi_keepalive import (
    ConnectionClosed,
    KeepaliveMiddleware,
    KeepaliveTimeout,
    KeepaliveUnsupported,
    Observer,
    PingTimeout,
    get_keepalive,
)
from asgi_keepalive.extension import Application

from .support.fake_loop import (
    FakeServer,
    Puppet,
    accepted,
    elapsed,
    fake_loop,
    in_no_time,
    ticks,
)

FAILED = {"type": "websocket.disconnect", "code": 1011, "reason": "keepalive ping timeout"}
TIMES: dict[str, Any] = {"ping_interval": 20, "ping_timeout": 10}
"""A Ping is due at 20, and its Pong overdue at 30."""


async def outcome(awaitable: Awaitable[Any]) -> Any:
    """Return the result, or the exception."""
    try:
        return await awaitable
    except BaseException as error:
        return error


async def paused(server: FakeServer, begin: float, end: float) -> None:
    """Let the server not read for a while, as too much is unread."""
    await asyncio.sleep(begin - elapsed())
    server.sent[0]["on_read_paused"](True, time.monotonic())
    await asyncio.sleep(end - elapsed())
    server.sent[0]["on_read_paused"](False, time.monotonic())


async def paused_each(server: FakeServer, pauses: list[tuple[float, float]]) -> None:
    for pause in pauses:
        await paused(server, *pause)


async def until_failed(server: FakeServer) -> None:
    await asyncio.sleep(30 - elapsed())
    assert server.failed_at == 30


class TestIdleAndSilent:
    """P1."""

    @in_no_time
    async def test_application_is_told_when_the_pong_is_overdue(self) -> None:
        server, app = await accepted(**TIMES)
        assert await app.receive() == FAILED
        assert elapsed() == 30
        assert server.pinged_at == [20]
        assert app.keepalive.timed_out

    @in_no_time
    async def test_later_calls_return_it_again(self) -> None:
        _, app = await accepted(**TIMES)
        assert [await app.receive() for _ in range(5)] == [FAILED] * 5
        assert elapsed() == 30

    @in_no_time
    async def test_each_call_returns_an_event_of_its_own(self) -> None:
        """Frameworks write into what they receive."""
        _, app = await accepted(**TIMES)
        (await app.receive()).clear()
        assert await app.receive() == FAILED

    @in_no_time
    async def test_server_is_told_to_fail_the_connection(self) -> None:
        server, app = await accepted(**TIMES, close_timeout=7)
        await app.receive()
        assert server.failures == [
            {
                "type": "websocket.close",
                "code": 1011,
                "reason": "keepalive ping timeout",
                "timeout": 7,
            }
        ]

    @in_no_time
    async def test_peer_that_answers_in_time_lives(self) -> None:
        server, app = await accepted(**TIMES, pong_after=9.999)
        await asyncio.sleep(1010)
        assert server.failures == []
        # Whatever the latency, from one Ping to the next it is one interval.
        assert server.pinged_at == [20 * number for number in range(1, 51)]
        assert app.keepalive.latency == pytest.approx(9.999)

    @in_no_time
    async def test_peer_that_answers_too_late_does_not(self) -> None:
        server, app = await accepted(**TIMES, pong_after=10.001)
        assert await app.receive() == FAILED
        await asyncio.sleep(1)
        assert app.keepalive.latency is None
        assert server.failed_at == 30

    @in_no_time
    async def test_latency_longer_than_the_interval(self) -> None:
        server, _ = await accepted(ping_interval=1, ping_timeout=10, pong_after=2.5)
        await asyncio.sleep(9)
        assert server.pinged_at == [1, 3.5, 6, 8.5]

    @in_no_time
    async def test_peer_that_falls_silent(self) -> None:
        server, app = await accepted(**TIMES, pong_after=0.5)
        await asyncio.sleep(50)
        server.pong_after = None
        assert await app.receive() == FAILED
        assert elapsed() == 70
        assert app.keepalive.latency == 0.5

    @in_no_time
    async def test_messages_are_no_substitute_for_a_pong(self) -> None:
        server, app = await accepted(**TIMES)
        for number in range(29):
            fake_loop().call_later(number + 0.5, server.text, str(number))
        events = [await app.receive() for _ in range(30)]
        assert [event.get("text") for event in events[:29]] == [str(n) for n in range(29)]
        assert events[29] == FAILED

    @in_no_time
    async def test_time_counts_from_the_accept(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await asyncio.sleep(100)
            await send({"type": "websocket.accept"})
            await receive()

        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        await server.task
        assert server.pinged_at == [120]
        assert server.failed_at == 130

    @in_no_time
    async def test_time_counts_from_when_the_server_has_accepted(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            await receive()
            await receive()

        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        server.writable.clear()
        fake_loop().call_later(7, server.writable.set)
        await server.task
        assert server.pinged_at == [27]

    @in_no_time
    async def test_deadline_and_latency_count_from_when_the_ping_has_been_written(self) -> None:
        """Which takes its time on a loop that compresses, encrypts, or is just busy."""
        server, app = await accepted(ping_interval=20, ping_timeout=10)
        server.on_ping = lambda: fake_loop().stall(0.5)
        server.pong_after = 1
        await asyncio.sleep(25)
        assert app.keepalive.latency == 1
        server.pong_after = None
        assert await app.receive() == FAILED
        assert server.pinged_at == [20.5, 41]
        assert elapsed() == 51

    @in_no_time
    async def test_without_interval_nothing_is_sent(self) -> None:
        server, _ = await accepted(ping_interval=None)
        await asyncio.sleep(1000)
        assert server.pings == []
        # It is taken over all the same.
        assert server.sent[0]["keepalive"] is False

    @in_no_time
    async def test_without_timeout_nothing_fails(self) -> None:
        server, app = await accepted(ping_interval=20, ping_timeout=None)
        await asyncio.sleep(1010)
        assert server.pinged_at == [20 * number for number in range(1, 51)]
        server.pong(server.pings[-5]["bytes"])
        assert app.keepalive.latency == 1010 - 920


class TestSender:
    """P2 and P3."""

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


class TestBusy:
    """P4: the server does not read, as the application is behind."""

    @in_no_time
    async def test_pong_that_is_read_late_counts(self) -> None:
        server, app = await accepted(**TIMES)
        await paused(server, 21, 39)
        await asyncio.sleep(0.5)
        server.pong(server.pings[0]["bytes"])
        await asyncio.sleep(1)
        assert not app.keepalive.timed_out
        assert app.keepalive.latency == 19.5
        assert server.pinged_at == [20, 40]

    @pytest.mark.parametrize(
        ("pauses", "failed_at"),
        [
            ([(5, 15)], 30),
            ([(5, 25)], 35),
            ([(21, 22), (24, 26)], 33),
            ([(29, 31), (31.5, 33)], 33.5),
            ([(21, 35)], 40),
            ([(21, 1000)], 40),
            ([(29.99, 30.01)], 30.02),
        ],
    )
    @in_no_time
    async def test_dead_peer_of_a_busy_application_is_failed_all_the_same(
        self, pauses: list[tuple[float, float]], failed_at: float
    ) -> None:
        server, app = await accepted(**TIMES)
        reading = asyncio.ensure_future(paused_each(server, pauses))
        assert await app.receive() == FAILED
        assert elapsed() == pytest.approx(failed_at)
        reading.cancel()

    @in_no_time
    async def test_both_members_of_a_broadcast_are_pinged_in_the_same_instant(self) -> None:
        """The frozen one blocks the handler of the other, which is read no more."""
        (frozen, to_frozen), (healthy, of_healthy) = [await accepted(**TIMES) for _ in range(2)]
        frozen.writable.clear()
        await asyncio.sleep(20.3)
        healthy.sent[0]["on_read_paused"](True, time.monotonic())
        with pytest.raises(KeepaliveTimeout):
            await to_frozen.text("x")
        assert elapsed() == 30
        healthy.sent[0]["on_read_paused"](False, time.monotonic())
        await asyncio.sleep(0.1)
        healthy.pong(healthy.pings[0]["bytes"])
        await asyncio.sleep(5)
        assert not of_healthy.keepalive.timed_out

    @in_no_time
    async def test_manual_ping_expires_later(self) -> None:
        server, app = await accepted(ping_interval=None, ping_timeout=10)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await paused(server, 1, 4)
        assert str(await ping) == "no Pong for 13 s"


class TestStalledLoop:
    """P5."""

    @in_no_time
    async def test_pong_behind_a_stall_counts(self) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        fake_loop().stall(5)
        fake_loop().call_later(4, server.pong, server.pings[0]["bytes"])
        await asyncio.sleep(5)
        assert not app.keepalive.timed_out
        assert app.keepalive.latency == 17

    @in_no_time
    async def test_stall_that_ends_just_before_the_deadline(self) -> None:
        """The timer is not late at all then."""
        server, app = await accepted(**TIMES)
        await asyncio.sleep(24)
        fake_loop().stall(5.99)
        fake_loop().call_later(4, server.pong, server.pings[0]["bytes"])
        await asyncio.sleep(5)
        assert not app.keepalive.timed_out

    @in_no_time
    async def test_pong_behind_a_short_stall_counts(self) -> None:
        """Some servers need several turns of the loop from the socket to the Pong."""
        server, app = await accepted(**TIMES)
        await asyncio.sleep(29.98)
        fake_loop().stall(0.03)
        await ticks(3)
        server.pong(server.pings[0]["bytes"])
        assert not app.keepalive.timed_out

    @in_no_time
    async def test_dead_peer_is_given_as_long_as_the_stall_lasted(self) -> None:
        _, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        fake_loop().stall(5)
        assert await app.receive() == FAILED
        assert elapsed() == pytest.approx(38, abs=0.06)

    @in_no_time
    async def test_but_no_longer_than_the_timeout(self) -> None:
        _, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        fake_loop().stall(500)
        assert await app.receive() == FAILED
        assert elapsed() == 538

    @in_no_time
    async def test_only_one_stall_is_excused(self) -> None:
        _, app = await accepted(**TIMES)
        await asyncio.sleep(28)
        fake_loop().stall(5)
        await asyncio.sleep(1)
        fake_loop().stall(10)
        assert await app.receive() == FAILED
        assert elapsed() == 44


class TestOnlyARealPong:
    """P6."""

    @in_no_time
    async def test_payloads_are_random(self) -> None:
        server, _ = await accepted(**TIMES, pong_after=0)
        await asyncio.sleep(2010)
        payloads = {ping["bytes"] for ping in server.pings}
        assert len(payloads) == 100
        assert {len(payload) for payload in payloads} == {4}

    @in_no_time
    async def test_payloads_tell_nothing_of_the_applications_random_numbers(self) -> None:
        """From 624 outputs of a Mersenne Twister all that follow can be computed."""
        _, app = await accepted(**TIMES, pong_after=0)
        before = random.getstate()
        await app.keepalive.ping()
        await asyncio.sleep(2010)
        assert random.getstate() == before

    @pytest.mark.parametrize("wrong", [b"", b"\0\0\0\0", b"never sent" * 10])
    @in_no_time
    async def test_wrong_pong_changes_nothing(self, wrong: bytes) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(25)
        server.pong(wrong)
        assert app.keepalive.latency is None
        assert await app.receive() == FAILED
        assert elapsed() == 30

    @in_no_time
    async def test_pong_of_an_earlier_ping_changes_nothing(self) -> None:
        server, app = await accepted(**TIMES, pong_after=1)
        await asyncio.sleep(35)
        server.pong_after = None
        await asyncio.sleep(10)
        server.pong(server.pings[0]["bytes"])
        assert app.keepalive.latency == 1
        assert await app.receive() == FAILED
        assert elapsed() == 50

    @in_no_time
    async def test_late_pong_changes_nothing(self) -> None:
        server, app = await accepted(**TIMES)
        await until_failed(server)
        server.pong(server.pings[0]["bytes"])
        assert app.keepalive.latency is None
        assert await app.receive() == FAILED


class TestTransparent:
    """P7."""

    @in_no_time
    async def test_events_are_passed_on_as_they_are(self) -> None:
        server, app = await accepted()
        received = server.text("in")
        assert await app.receive() is received
        for event in (
            {"type": "websocket.send", "text": "out"},
            {"type": "websocket.unknown", "key": object()},
            {"type": "websocket.close", "code": 4000, "reason": "mine"},
        ):
            await app.send(event)
            assert server.sent[-1] is event

    @in_no_time
    async def test_accept_is_passed_on_with_what_the_extension_needs(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(accept)

        accept = {"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"a", b"b")]}
        before = accept.copy()
        server = FakeServer(KeepaliveMiddleware(app, close_timeout=7))
        await server.task
        [sent] = server.sent
        assert callable(sent.pop("on_pong"))
        assert callable(sent.pop("on_read_paused"))
        assert sent == {**before, "keepalive": False, "close_timeout": 7}
        assert accept == before

    @in_no_time
    async def test_errors_of_the_server_come_through(self) -> None:
        server, app = await accepted()
        error = RuntimeError("the server's own")
        server.incoming.put_nowait(error)
        assert await outcome(app.receive()) is error
        with pytest.raises(KeyError):  # as it finds no type
            await app.send({})
        # The keepalive goes on: only the server knows what that meant.
        await asyncio.sleep(21)
        assert server.pinged_at == [20]

    @in_no_time
    async def test_disconnect_of_the_server_comes_through_and_ends_the_pings(self) -> None:
        server, app = await accepted(**TIMES)
        event = server.disconnect(1001)
        assert await app.receive() is event
        assert fake_loop().timers() == []
        assert not app.keepalive.timed_out

    @in_no_time
    async def test_messages_that_were_ready_come_before_the_failure(self) -> None:
        server, app = await accepted(**TIMES)
        ready = [server.text("1"), server.text("2")]
        await until_failed(server)
        server.disconnect(1005)
        server.text("after the end")
        assert [await app.receive() for _ in range(5)] == [*ready, FAILED, FAILED, FAILED]

    @in_no_time
    async def test_message_that_came_at_the_moment_of_failure(self) -> None:
        server, app = await accepted(**TIMES)
        receiving = asyncio.ensure_future(app.receive())
        server.on_fail = lambda: ready.append(server.text("just in time"))
        ready: list[Any] = []
        assert [await receiving] == ready
        assert await app.receive() == FAILED

    @in_no_time
    async def test_nothing_more_comes_once_the_application_was_told(self) -> None:
        server, app = await accepted(**TIMES)
        assert await app.receive() == FAILED
        server.text("too late")
        assert await app.receive() == FAILED

    @pytest.mark.parametrize("error", [None, ConnectionResetError(), RuntimeError()], ids=repr)
    @in_no_time
    async def test_servers_own_end_is_never_seen_after_a_failure(
        self, error: Exception | None
    ) -> None:
        server, app = await accepted(**TIMES)

        def end() -> None:
            if error is None:
                server.disconnect(1005)
            else:
                server.incoming.put_nowait(error)

        server.on_fail = end
        assert await app.receive() == FAILED
        assert await app.receive() == FAILED

    @pytest.mark.parametrize(
        "error",
        [
            ConnectionResetError(),
            RuntimeError("receive after disconnect"),
        ],
        ids=repr,
    )
    @in_no_time
    async def test_server_that_raises_from_receive_after_a_failure(self, error: Exception) -> None:
        server, app = await accepted(**TIMES)
        await until_failed(server)
        server.incoming.put_nowait(error)
        assert await app.receive() == FAILED

    @in_no_time
    async def test_no_pings_before_accept(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(100)

        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        await ticks()
        assert len(fake_loop().timers()) == 1  # the application's own
        await server.task
        assert server.pings == []

    @in_no_time
    async def test_no_pings_after_the_applications_close(self) -> None:
        server, app = await accepted(**TIMES)
        await app.close()
        assert fake_loop().timers() == []
        event = server.disconnect(1000)
        assert await app.receive() is event

    @in_no_time
    async def test_close_that_blocks_is_the_servers_to_release(self) -> None:
        server, app = await accepted(**TIMES)
        server.writable.clear()
        closing = asyncio.ensure_future(app.close())
        await asyncio.sleep(1000)
        assert not closing.done()
        assert server.pings == []
        server.writable.set()
        await closing

    @in_no_time
    async def test_denial(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.http.response.start", "status": 418, "headers": []})
            await asyncio.sleep(100)
            await send({"type": "websocket.http.response.body", "body": b"no"})

        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        await server.task
        assert [event["type"].rpartition(".")[2] for event in server.sent] == ["start", "body"]
        assert server.pings == []


class TestNothingLeftBehind:
    """P8."""

    @in_no_time
    async def test_one_timer_per_connection_and_one_per_loop(self) -> None:
        connections = [await accepted(pong_after=1) for _ in range(3)]
        await asyncio.sleep(100.5)
        assert len(fake_loop().timers()) == 3 + 3 + 1  # three Pongs are on their way
        await asyncio.sleep(5)
        assert len(fake_loop().timers()) == 3 + 1
        for _, app in connections:
            app.returns()
        await asyncio.sleep(1)
        assert fake_loop().timers() == []

    @in_no_time
    async def test_pong_leaves_the_timer_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A timer more for each Pong would be much of what a cycle costs."""

        def call_later(delay: float, callback: Any, *args: Any, **keys: Any) -> asyncio.TimerHandle:
            calls.append((callback, keys))
            return original(delay, callback, *args, **keys)

        calls: list[tuple[Any, Any]] = []
        original = fake_loop().call_later
        monkeypatch.setattr(fake_loop(), "call_later", call_later)
        server, _ = await accepted(pong_after=1)
        await asyncio.sleep(105)
        assert len(server.pinged_at) == 5
        own = [call for call in calls if call[0].__name__ == "_enter"]
        assert len(own) == 1 + 5
        # What is made anew for each is looked at, all at once, by the garbage collector.
        assert len({id(callback) for callback, _ in own}) == 1
        assert len({id(keys["context"]) for _, keys in own}) == 1

    @in_no_time
    async def test_end_of_one_connection_leaves_the_loops_timer_to_the_others(self) -> None:
        """Even if it ends in several ways at once."""
        await accepted()
        server, leaving = await accepted()
        await leaving.close()
        leaving.returns()
        await server.task
        assert len(fake_loop().timers()) == 2

    @pytest.mark.parametrize(
        "end",
        [
            lambda server, app: app.returns(),
            lambda server, app: server.task.cancel(),
            lambda server, app: server.pong(None),
            lambda server, app: asyncio.ensure_future(app.close()),
            lambda server, app: (server.disconnect(1001), asyncio.ensure_future(app.receive())),
        ],
        ids=["return", "cancellation", "no more Pongs", "close", "disconnect"],
    )
    @pytest.mark.parametrize("after", [1, 25], ids=["idle", "Ping in flight"])
    @in_no_time
    async def test_no_timer(
        self, after: float, end: Callable[[FakeServer, Puppet], object]
    ) -> None:
        server, app = await accepted(**TIMES)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await asyncio.sleep(after)
        end(server, app)
        await ticks()
        assert fake_loop().timers() == []
        assert ping.done()

    @in_no_time
    async def test_no_timer_after_a_failure(self) -> None:
        _, app = await accepted(**TIMES)
        await app.receive()
        assert fake_loop().timers() == []

    @pytest.mark.parametrize("fails", [False, True])
    @in_no_time
    async def test_no_reference(self, fails: bool) -> None:
        server, app = await accepted(**TIMES)
        server.text("unread")
        await asyncio.sleep(40 if fails else 25)
        connection = weakref.ref(app.receive.__self__)
        keepalive = weakref.ref(app.keepalive)
        scope = weakref.ref(server)
        app.returns()
        await server.task
        del app, server
        gc.collect()
        assert (connection(), keepalive(), scope()) == (None, None, None)

    @in_no_time
    async def test_nothing_of_manual_pings_that_are_over(self) -> None:
        def futures() -> int:
            gc.collect()
            return sum(isinstance(one, asyncio.Future) for one in gc.get_objects())

        server, app = await accepted(ping_interval=None, ping_timeout=10, pong_after=1)
        before = futures()
        for _ in range(10):
            await app.keepalive.ping()
        server.pong_after = None
        for _ in range(10):
            await outcome(app.keepalive.ping())
            await outcome(asyncio.wait_for(app.keepalive.ping(), 1))
        assert futures() < before + 5

    @in_no_time
    async def test_state_outlives_the_connection_but_does_not_keep_it(self) -> None:
        server, app = await accepted(**TIMES, pong_after=1)
        await asyncio.sleep(25)
        connection = weakref.ref(app.receive.__self__)
        keepalive = app.keepalive
        app.returns()
        await server.task
        server.on_pong = None
        for callbacks in server.sent + server.pings:
            callbacks.clear()
        gc.disable()  # it is not left to the garbage collector
        del app, server, callbacks
        assert connection() is None
        gc.enable()
        assert (keepalive.latency, keepalive.ping_interval) == (1, 20)
        with pytest.raises(ConnectionClosed, match=r"^the connection is not open$"):
            await keepalive.ping()

    @in_no_time
    async def test_accept_that_outlives_the_application(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            accepting.append(asyncio.ensure_future(send({"type": "websocket.accept"})))
            await ticks()

        accepting: list[asyncio.Future[None]] = []
        server = FakeServer(KeepaliveMiddleware(app))
        server.writable.clear()
        await server.task
        server.writable.set()
        await asyncio.wait(accepting)
        assert fake_loop().timers() == []

    @in_no_time
    async def test_accepted_twice(self) -> None:
        """Which a server should refuse, but not every one does."""
        server, app = await accepted(**TIMES)
        await app.send({"type": "websocket.accept"})
        app.returns()
        await server.task
        assert fake_loop().timers() == []

    @in_no_time
    async def test_nothing_is_logged_of_what_is_normal(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "asgi_keepalive")
        server, app = await accepted(pong_after=1)
        await asyncio.sleep(100)
        await app.close()
        app.returns()
        await server.task
        assert caplog.records == []


async def connected(app: Application) -> Any:
    scope = {"type": "websocket", "path": "/", "extensions": {"websocket.ping": {}}}
    communicator: Any = ApplicationCommunicator(  # type: ignore[no-untyped-call]
        KeepaliveMiddleware(app, **TIMES), scope
    )
    await communicator.send_input({"type": "websocket.connect"})
    return communicator


class TestSilentServer:
    """P9: `ApplicationCommunicator` passes events on, and does nothing else."""

    @in_no_time
    async def test_application_is_released_by_the_middleware_itself(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            report.append((await receive(), elapsed()))
            report.append((await receive(), elapsed()))
            report.append(type(await outcome(send({"type": "websocket.send", "text": "x"}))))
            report.append(get_keepalive(scope).latency)

        report: list[Any] = []
        communicator = await connected(app)

        accept = await communicator.receive_output()
        assert accept == {
            "type": "websocket.accept",
            "keepalive": False,
            "close_timeout": 10,
            "on_pong": accept["on_pong"],
            "on_read_paused": accept["on_read_paused"],
        }
        ping = await communicator.receive_output(timeout=21)
        assert (ping["type"], type(ping["bytes"]), elapsed()) == ("websocket.ping", bytes, 20)
        await asyncio.sleep(3)
        ping["on_pong"](ping["bytes"], time.monotonic())
        second = await communicator.receive_output(timeout=21)
        assert (second["type"], elapsed()) == ("websocket.ping", 40)
        assert second["bytes"] != ping["bytes"]

        fail = await communicator.receive_output(timeout=11)
        assert (elapsed(), fail) == (
            50,
            {
                "type": "websocket.close",
                "code": 1011,
                "reason": "keepalive ping timeout",
                "timeout": 10,
            },
        )
        await communicator.wait()
        assert report == [(FAILED, 50), (FAILED, 50), KeepaliveTimeout, 3]
        assert await communicator.receive_nothing()

    @in_no_time
    async def test_messages_that_wait_in_the_server_come_first(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(1000)
            report.extend([await receive() for _ in range(4)])

        report: list[Any] = []
        communicator = await connected(app)
        for text in "12":
            await communicator.send_input({"type": "websocket.receive", "text": text})
        await communicator.wait(timeout=2000)
        assert [event.get("text") for event in report[:2]] == ["1", "2"]
        assert report[2:] == [FAILED, FAILED]

    @pytest.mark.parametrize("error", [KeyError(), asyncio.CancelledError()], ids=repr)
    @in_no_time
    async def test_server_that_cannot_fail_the_connection(
        self, caplog: pytest.LogCaptureFixture, error: BaseException
    ) -> None:
        def mistake() -> None:
            raise error

        server, app = await accepted(**TIMES)
        server.on_fail = mistake
        async with asyncio.timeout(100):
            assert await app.receive() == FAILED
        [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.getMessage() == (
            "192.0.2.1:50000 /chat: the server cannot fail the connection"
        )
        assert record.exc_info is not None


class TestServerThatIsClosing:
    @in_no_time
    async def test_refused_ping_ends_the_keepalive_quietly(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "asgi_keepalive")
        server, app = await accepted(**TIMES)
        server.is_open = False
        await asyncio.sleep(25)
        assert fake_loop().timers() == []
        await asyncio.sleep(1000)
        assert caplog.records == []
        assert not app.keepalive.timed_out
        event = server.disconnect(1006)
        assert await app.receive() is event

    @in_no_time
    async def test_refused_failure_is_no_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        """The server closes for a reason of its own, and will say so."""
        caplog.set_level(logging.INFO, "asgi_keepalive")
        server, app = await accepted(**TIMES)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await asyncio.sleep(25)
        assert type(await ping) is PingTimeout
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await ticks()
        server.is_open = False
        await asyncio.sleep(25)
        assert fake_loop().timers() == []
        assert not app.keepalive.timed_out
        assert repr(await ping) == "ConnectionClosed('the connection is not open')"
        with pytest.raises(ConnectionError, match="WebSocket"):  # the server's own
            await app.text("x")
        event = server.disconnect(1006)
        assert await app.receive() is event
        assert caplog.records == []

    @in_no_time
    async def test_no_more_pongs_end_the_keepalive(self) -> None:
        server, app = await accepted(**TIMES)
        pings = [asyncio.ensure_future(outcome(app.keepalive.ping())) for _ in range(2)]
        await asyncio.sleep(5)
        server.pong(None)
        assert [repr(await ping) for ping in pings] == [
            "ConnectionClosed('the connection is not open')"
        ] * 2
        assert elapsed() == 5
        assert fake_loop().timers() == []
        with pytest.raises(ConnectionClosed):
            await app.keepalive.ping()


@pytest.mark.parametrize("timeouts", [{"ping_timeout": None}, {}])
@in_no_time
async def test_server_that_notices_by_a_ping_that_the_connection_is_closing(
    timeouts: dict[str, Any],
) -> None:
    server, app = await accepted(ping_interval=20, **timeouts)

    def notice() -> None:
        app.keepalive._link._on_pong(None, time.monotonic())  # type: ignore[union-attr]

    server.on_ping = notice
    await asyncio.sleep(100)
    assert len(server.pings) == 1
    assert fake_loop().timers() == []


class TestRefusedPing:
    """Something between server and middleware does not know the extension's events."""

    ERRORS = (RuntimeError("no"), KeyError("no"), asyncio.CancelledError("no"))

    @staticmethod
    def refuse(server: FakeServer, error: BaseException, times: float = inf) -> None:
        def refuse() -> None:
            nonlocal times
            times -= 1
            if times >= 0:
                raise error

        server.on_ping = refuse

    @pytest.mark.parametrize("error", ERRORS, ids=repr)
    @in_no_time
    async def test_one_is_logged_and_the_heartbeat_goes_on(
        self, caplog: pytest.LogCaptureFixture, error: BaseException
    ) -> None:
        server, app = await accepted(**TIMES, pong_after=1)
        for _ in range(3):
            self.refuse(server, error, times=1)
            await asyncio.sleep(60)
        assert server.pinged_at == [40, 60, 100, 120, 160, 180]
        assert app.keepalive.supported
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
        assert caplog.messages[0] == (
            "192.0.2.1:50000 /chat: a Ping was refused; "
            "if the next is, too, keepalive is off for this connection"
        )
        assert all(record.exc_info and record.exc_info[1] is error for record in caplog.records)
        server.pong_after = None
        assert await app.receive() == FAILED

    @in_no_time
    async def test_two_in_a_row_mean_that_there_is_no_keepalive(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(15)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await ticks()
        self.refuse(server, RuntimeError("no"))
        app.keepalive.configure(ping_interval=3)  # the manual Ping is still in flight at the second
        await asyncio.sleep(4)
        assert type(await ping) is KeepaliveUnsupported
        assert not app.keepalive.supported
        assert not app.keepalive.timed_out
        assert fake_loop().timers() == []
        assert len(caplog.records) == 1
        with pytest.raises(KeepaliveUnsupported):
            await app.keepalive.ping()
        app.keepalive.configure(ping_interval=1)
        await asyncio.sleep(100)
        # It runs as it would without the middleware.
        event = server.text("x")
        assert await app.receive() is event
        await app.text("y")
        assert server.sent[-1]["text"] == "y"

    @in_no_time
    async def test_observers_are_told_of_the_end_when_it_comes(self) -> None:
        told: list[str] = []

        class Noting(Observer):
            def __init__(self, scope: Any) -> None:
                pass

            def closed(self) -> None:
                told.append("closed")

        server, app = await accepted(**TIMES, observers=[Noting])
        self.refuse(server, RuntimeError("no"))
        await asyncio.sleep(100)
        assert not app.keepalive.supported
        assert told == []
        server.disconnect(1001)
        await app.receive()
        assert told == ["closed"]

    @pytest.mark.parametrize("error", ERRORS, ids=repr)
    @pytest.mark.parametrize("ping_interval", [20, None])
    @in_no_time
    async def test_manual_one_tells_its_application(
        self, caplog: pytest.LogCaptureFixture, ping_interval: float | None, error: BaseException
    ) -> None:
        server, app = await accepted(ping_interval=ping_interval, ping_timeout=10, pong_after=1)
        self.refuse(server, error, times=3)
        for _ in range(3):
            with pytest.raises(
                KeepaliveUnsupported, match=r"^the server has refused the Ping$"
            ) as e:
                await app.keepalive.ping()
            assert e.value.__cause__ is error
        assert app.keepalive.supported
        assert app.keepalive.statistics.pings == 0
        assert not app.keepalive._link._heartbeat._pings  # type: ignore[union-attr]
        assert not app.keepalive._link._manual  # type: ignore[union-attr]
        assert await app.keepalive.ping() == 1
        await asyncio.sleep(30)
        assert server.pinged_at == ([0] if ping_interval is None else [0, 20])
        assert caplog.records == []

    @in_no_time
    async def test_of_a_connection_that_closes_at_that_moment(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        server, app = await accepted(**TIMES)

        def close_and_refuse() -> None:
            app.keepalive._link._on_pong(None, time.monotonic())  # type: ignore[union-attr]
            raise RuntimeError("no")

        server.on_ping = close_and_refuse
        await asyncio.sleep(100)
        assert fake_loop().timers() == []

    @in_no_time
    async def test_whatever_is_raised_the_timer_goes_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(record: logging.LogRecord) -> bool:
            raise ValueError(record.getMessage())

        caplog.set_level(logging.DEBUG, "asgi_keepalive")
        _, app = await accepted(**TIMES)
        logger = logging.getLogger("asgi_keepalive")
        logger.addFilter(fail)
        await asyncio.sleep(20.5)
        logger.removeFilter(fail)
        [context] = fake_loop().errors
        assert type(context["exception"]) is ValueError
        fake_loop().errors.clear()
        assert await app.receive() == FAILED
        assert elapsed() == 30


class TestManualPing:
    @in_no_time
    async def test_returns_and_updates_the_latency(self) -> None:
        server, app = await accepted(ping_interval=None, pong_after=0.25)
        assert await app.keepalive.ping() == 0.25
        assert app.keepalive.latency == 0.25
        server.pong_after = 0.5
        assert await app.keepalive.ping() == 0.5
        assert app.keepalive.latency == 0.5

    @in_no_time
    async def test_concurrent_pings_have_each_their_own_latency(self) -> None:
        server, app = await accepted(ping_interval=None)
        first = asyncio.ensure_future(app.keepalive.ping())
        await asyncio.sleep(1)
        second = asyncio.ensure_future(app.keepalive.ping())
        await asyncio.sleep(1)
        third = asyncio.ensure_future(app.keepalive.ping())
        await asyncio.sleep(1)
        server.pong(server.pings[1]["bytes"])  # acknowledges the first, too
        assert (await first, await second, app.keepalive.latency) == (3, 2, 2)
        assert not third.done()
        await asyncio.sleep(1)
        server.pong(server.pings[2]["bytes"])
        assert await third == 2

    @in_no_time
    async def test_expires_and_harms_nothing(self) -> None:
        server, app = await accepted(ping_interval=None, ping_timeout=7.5)
        with pytest.raises(PingTimeout, match=r"^no Pong for 7\.5 s$"):
            await app.keepalive.ping()
        assert elapsed() == 7.5
        assert server.failures == []
        server.pong_after = 1
        assert await app.keepalive.ping() == 1
        server.text("still open")
        assert (await app.receive())["text"] == "still open"

    @in_no_time
    async def test_each_expires_in_its_own_time(self) -> None:
        _, app = await accepted(ping_interval=None, ping_timeout=10)
        ended: list[tuple[int, float]] = []

        async def ping(number: int) -> None:
            await asyncio.sleep(number)
            with pytest.raises(PingTimeout):
                await app.keepalive.ping()
            ended.append((number, elapsed()))

        await asyncio.gather(*map(ping, range(3)))
        assert ended == [(0, 10), (1, 11), (2, 12)]

    @in_no_time
    async def test_without_timeout_it_waits_as_long_as_the_connection_lasts(self) -> None:
        _, app = await accepted(ping_interval=None, ping_timeout=None)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await asyncio.sleep(1000)
        assert not ping.done()
        app.returns()
        assert type(await ping) is ConnectionClosed

    @in_no_time
    async def test_cancelling_one_harms_neither_the_others_nor_the_connection(self) -> None:
        server, app = await accepted(ping_interval=None, ping_timeout=10)
        first, second = (asyncio.ensure_future(app.keepalive.ping()) for _ in range(2))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(1)
        server.pong(server.pings[0]["bytes"])  # nobody waits for that any more
        assert app.keepalive.latency == 2
        server.pong(server.pings[1]["bytes"])
        assert await second == 2
        assert first.cancelled()

    @in_no_time
    async def test_of_one_that_was_cancelled_nothing_is_heard(self) -> None:
        server, app = await accepted(ping_interval=None, ping_timeout=10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(app.keepalive.ping(), 1)
        assert elapsed() == 1
        await asyncio.sleep(100)
        assert server.failures == []
        await app.text("still open")

    @in_no_time
    async def test_given_up_ones_are_forgotten_in_the_end(self) -> None:
        """An application may have a timeout of its own, and a peer that never answers."""
        server, app = await accepted(ping_interval=None, ping_timeout=None)
        for _ in range(100):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(app.keepalive.ping(), 1)
        server.pong(server.pings[0]["bytes"])
        assert app.keepalive.latency is None

    @in_no_time
    async def test_cancelled_at_the_moment_of_its_pong(self) -> None:
        server, app = await accepted(ping_interval=None)
        first, second = (asyncio.ensure_future(app.keepalive.ping()) for _ in range(2))
        await ticks()
        first.cancel()
        server.pong(server.pings[1]["bytes"])
        assert await second == 0
        await ticks()
        assert first.cancelled()

    @pytest.mark.parametrize("end", ["expiry", "close"])
    @in_no_time
    async def test_cancelled_at_the_moment_of_its_end(self, end: str) -> None:
        _, app = await accepted(ping_interval=None, ping_timeout=10)
        expiry = fake_loop().time() + 10
        ping = asyncio.ensure_future(app.keepalive.ping())
        # In the same turn of the loop as the expiry; of several one comes before it.
        for _ in range(4):
            fake_loop().call_at(expiry, ping.cancel)
        await ticks()
        if end == "expiry":
            await asyncio.sleep(11)
        else:
            ping.cancel()
            await app.close()
        await ticks()
        assert ping.cancelled()

    @pytest.mark.parametrize("answered", [True, False])
    @in_no_time
    async def test_several_with_the_same_payload(
        self, monkeypatch: pytest.MonkeyPatch, answered: bool
    ) -> None:
        """Four random bytes may be the same twice."""
        monkeypatch.setattr(os, "urandom", bytes)
        server, app = await accepted(**TIMES, pong_after=1 if answered else None)
        pings = [asyncio.ensure_future(outcome(app.keepalive.ping())) for _ in range(3)]
        await asyncio.sleep(12)
        assert {str(await ping) for ping in pings} == {"1.0" if answered else "no Pong for 10 s"}
        await asyncio.sleep(10)
        assert server.pinged_at == [0, 0, 0, 20]

    @in_no_time
    async def test_its_pong_acknowledges_the_keepalive_ping_before_it(self) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(25)
        ping = asyncio.ensure_future(app.keepalive.ping())
        await asyncio.sleep(1)
        server.pong(server.pings[1]["bytes"])
        assert await ping == 1
        await asyncio.sleep(9)
        assert server.failures == []
        assert server.pinged_at == [20, 25]

    @in_no_time
    async def test_it_is_no_substitute_for_the_keepalive_ping(self) -> None:
        server, app = await accepted(**TIMES)
        ping = asyncio.ensure_future(app.keepalive.ping())
        await asyncio.sleep(9)
        server.pong(server.pings[0]["bytes"])
        assert await ping == 9
        assert await app.receive() == FAILED
        assert elapsed() == 30

    @in_no_time
    async def test_before_accept(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            errors.append(await outcome(get_keepalive(scope).ping()))

        errors: list[Any] = []
        server = FakeServer(KeepaliveMiddleware(app))
        await server.task
        assert repr(errors) == "[ConnectionClosed('the connection is not open')]"

    @in_no_time
    async def test_when_the_application_closes(self) -> None:
        _, app = await accepted()
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await ticks()
        await app.close()
        assert type(await ping) is ConnectionClosed
        with pytest.raises(ConnectionClosed):
            await app.keepalive.ping()

    @in_no_time
    async def test_when_the_server_is_closing_already(self) -> None:
        server, app = await accepted()
        server.is_open = False
        with pytest.raises(ConnectionClosed, match=r"^the connection is not open$"):
            await app.keepalive.ping()
        assert fake_loop().timers() == []

    @in_no_time
    async def test_when_the_connection_fails(self) -> None:
        server, app = await accepted(**TIMES)
        await asyncio.sleep(25)
        ping = asyncio.ensure_future(outcome(app.keepalive.ping()))
        await until_failed(server)
        error = await ping
        assert type(error) is KeepaliveTimeout
        assert error.keepalive is app.keepalive
        with pytest.raises(KeepaliveTimeout, match=r"^keepalive ping timeout, silent: "):
            await app.keepalive.ping()


class TestCancelledApplication:
    """A cancellation inside any await is the application's, and nothing is left of it."""

    @pytest.mark.parametrize("call", ["receive", "send", "close", "ping"])
    @in_no_time
    async def test_task_is_cancelled(self, call: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            server.writable.clear()
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "receive": receive,
                "send": lambda: send({"type": "websocket.send", "text": "x"}),
                "close": lambda: send({"type": "websocket.close"}),
                "ping": get_keepalive(scope).ping,
            }
            try:
                await calls[call]()
            except asyncio.CancelledError as error:
                messages.append(error.args)
                raise

        messages: list[Any] = []
        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        await asyncio.sleep(5)
        server.task.cancel("mine")
        with pytest.raises(asyncio.CancelledError):
            await server.task
        assert messages == [("mine",)]
        assert fake_loop().timers() == []
        assert server.failures == []

    @in_no_time
    async def test_task_is_cancelled_while_it_accepts(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})

        server = FakeServer(KeepaliveMiddleware(app))
        server.writable.clear()
        await asyncio.sleep(5)
        server.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server.task
        assert fake_loop().timers() == []

    @in_no_time
    async def test_accept_that_is_given_up_on_is_an_accept(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await send({"type": "websocket.accept"})
            await asyncio.sleep(100)

        server = FakeServer(KeepaliveMiddleware(app, **TIMES))
        server.writable.clear()
        await asyncio.sleep(5 + 20 + 1)
        assert server.pinged_at == [25]
        server.task.cancel()

    @in_no_time
    async def test_application_that_gives_up_on_a_call_uses_the_next(self) -> None:
        server, app = await accepted(**TIMES, pong_after=1)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(app.receive(), 15)
        event = server.text("not lost")
        assert await app.receive() is event
        server.writable.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(15):
                await app.text("given up")
        server.writable.set()
        await app.text("x")
        assert [event.get("text") for event in server.sent[1:]] == ["x"]

    @in_no_time
    async def test_cancelled_at_the_moment_of_failure(self) -> None:
        """Cancellation wins: whoever asked for it relies on it."""
        server, app = await accepted(**TIMES)
        receiving = asyncio.ensure_future(app.receive())
        sending = asyncio.ensure_future(_blocked_send(server, app))
        await ticks()
        server.on_fail = lambda: (receiving.cancel(), sending.cancel())
        await asyncio.wait([receiving, sending])
        assert receiving.cancelled()
        assert sending.cancelled()
        assert await app.receive() == FAILED

    @in_no_time
    async def test_timeout_around_a_released_call_goes_on(self) -> None:
        _, app = await accepted(**TIMES)

        async def application() -> str:
            try:
                async with asyncio.timeout(35):
                    assert await app.receive() == FAILED
                    await asyncio.sleep(1000)
            except TimeoutError:
                assert elapsed() == 35
                return "timed out"
            return "not timed out"

        assert await asyncio.ensure_future(application()) == "timed out"


async def _blocked_send(server: FakeServer, app: Puppet) -> None:
    server.writable.clear()
    await app.text("x")


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
        server.sent[0]["on_read_paused"](True, time.monotonic())
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
        payload = server.pings[0]["bytes"].hex()
        assert caplog.record_tuples == [
            ("asgi_keepalive", logging.DEBUG, f"192.0.2.1:50000 /chat: Ping {payload}"),
            ("asgi_keepalive", logging.DEBUG, f"192.0.2.1:50000 /chat: Pong {payload}"),
        ]


class TestSuspendingWrapper:
    """Something between middleware and server suspends, which the extension forbids."""

    @staticmethod
    async def accepted(**settings: Any) -> tuple[FakeServer, Puppet]:
        async def wrapper(scope: Any, receive: Any, send: Any) -> None:
            async def slow_send(event: Any) -> None:
                await asyncio.sleep(0.5)
                await asyncio.sleep(0)
                await send(event)

            await KeepaliveMiddleware(app, **settings)(scope, receive, slow_send)

        app = Puppet()
        server = FakeServer(wrapper)
        await asyncio.sleep(0.5)
        await ticks()
        return server, app

    @in_no_time
    async def test_pings_go_out_all_the_same(self) -> None:
        server, app = await self.accepted(**TIMES)
        server.pong_after = 1
        await asyncio.sleep(100)
        assert server.pinged_at == [21, 41, 61, 81]
        assert app.keepalive.latency == 1.5
        assert not app.keepalive.timed_out

    @in_no_time
    async def test_failure_releases_the_application_at_once(self) -> None:
        server, app = await self.accepted(**TIMES)
        assert await app.receive() == FAILED
        assert elapsed() == 30.5
        await asyncio.sleep(1)
        assert server.failed_at == 31

    @in_no_time
    async def test_refusal_is_taken_quietly(self, caplog: pytest.LogCaptureFixture) -> None:
        server, _ = await self.accepted(**TIMES)
        server.is_open = False
        await asyncio.sleep(25)
        assert server.pings == []
        assert caplog.records == []
