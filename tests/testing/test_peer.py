"""What the application, the log, the observers and the test client are told of a `Peer`."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import weakref
from math import inf, nan
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout, PingTimeout
from asgi_keepalive.testing import Peer, PeerConnection

from ..support.connection import TIMES, outcome
from ..support.fake_loop import Puppet, elapsed, in_no_time, ticks
from ..support.observers import Notes
from ..support.timeouts import FAILED

CLOSED = {"type": "websocket.close", "code": 1011, "reason": "keepalive ping timeout"}
MESSAGE = {"type": "websocket.send", "text": "x"}
NONE_OPEN = (
    "no connection is open that KeepaliveMiddleware keeps alive: is it around the application, "
    "and has the test connected?"
)


class Test:
    """Both ends of a connection: the application's, and the test client's."""

    __test__ = False

    def __init__(self, *, latency: Any = 0.0, **settings: Any) -> None:
        self.app = Puppet()
        self.notes = Notes()
        wrapped = KeepaliveMiddleware(self.app, observers=[self.notes], **{**TIMES, **settings})
        self.peer = Peer(wrapped, latency=latency)

    async def connect(self) -> PeerConnection:
        communicator: Any = ApplicationCommunicator
        self.client = communicator(self.peer, {"type": "websocket", "path": "/ws"})
        await self.client.send_input({"type": "websocket.connect"})
        assert (await self.client.receive_output())["type"] == "websocket.accept"
        return self.peer.connections[-1]

    async def leave(self) -> None:
        self.app.returns()
        await self.client.wait()
        assert self.peer.connections == ()


class TestTimeout:
    @in_no_time
    async def test_application_that_waits_for_a_message(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        test = Test()
        connection = await test.connect()
        receiving = asyncio.create_task(test.app.receive())
        await ticks()
        test.peer.time_out()
        assert connection.keepalive.timed_out
        assert not connection.is_open
        assert await receiving == await test.app.receive() == FAILED
        with pytest.raises(KeepaliveTimeout):
            await test.app.send(MESSAGE)
        assert await test.client.receive_output() == CLOSED
        assert elapsed() == 0
        verdict = connection.keepalive.verdict
        assert verdict
        assert (verdict.reason, verdict.waited) == ("silent", 10)
        assert [what for _, what, *_ in test.notes.taken] == [
            *("opened", "pinged", "failed", "closed")
        ]
        assert caplog.messages == [
            "unknown client /ws: keepalive ping timeout, no Pong for 10 s, last latency unknown; "
            "silent: no Pong has come"
        ]
        await test.leave()

    @in_no_time
    async def test_what_had_arrived_comes_first(self) -> None:
        test = Test()
        await test.connect()
        event = {"type": "websocket.receive", "text": "x"}
        await test.client.send_input(event)
        test.peer.time_out()
        assert [await test.app.receive() for _ in range(2)] == [event, FAILED]
        await test.leave()

    @in_no_time
    async def test_client_that_has_gone(self) -> None:
        async def send(event: Any) -> None:
            # The test may learn of the accept in another thread, before this returns.
            assert len(peers[0].connections) == (event["type"] == "websocket.accept")
            if event["type"] == "websocket.close":
                raise ConnectionError

        test = Test()
        peers = [test.peer]
        incoming: asyncio.Queue[Any] = asyncio.Queue()
        incoming.put_nowait({"type": "websocket.connect"})
        running = asyncio.ensure_future(test.peer({"type": "websocket"}, incoming.get, send))
        await ticks()
        test.peer.time_out()
        await ticks()  # whatever has gone wrong is an error of the loop
        test.app.returns()
        await running
        del running, test
        peers.clear()
        gc.collect()  # of an error that nobody has asked for the loop is told now

    @in_no_time
    async def test_pings_of_the_application_time_out_before(self) -> None:
        test = Test()
        await test.connect()
        test.peer.freeze()
        ping = asyncio.create_task(outcome(test.app.keepalive.ping()))
        await asyncio.sleep(1)
        test.peer.time_out()
        assert isinstance(await ping, PingTimeout)
        assert elapsed() == 1
        await test.leave()

    @pytest.mark.parametrize("name", ["ping_interval", "ping_timeout"])
    @in_no_time
    async def test_nothing_times_out(self, name: str) -> None:
        test = Test(**{name: None})
        await test.connect()
        with pytest.raises(RuntimeError) as raised:
            test.peer.time_out()
        told = {"ping_interval": 20, "ping_timeout": 10, name: None}
        assert str(raised.value) == (
            "nothing times out on <PeerConnection /ws>: ping_interval is {ping_interval}, "
            "ping_timeout is {ping_timeout}".format(**told)
        )
        await test.leave()

    @in_no_time
    async def test_in_the_context_of_the_application(self) -> None:
        variable = contextvars.ContextVar("variable", default="the test's")
        seen: list[str] = []

        class Seeing(Notes):
            def __call__(self, scope: Any) -> Any:
                observer = super().__call__(scope)
                observer.failed = lambda verdict: seen.append(variable.get())  # type: ignore[method-assign]
                return observer

        async def app(scope: Any, receive: Any, send: Any) -> None:
            variable.set("the application's")
            await KeepaliveMiddleware(test.app, observers=[Seeing()])(scope, receive, send)

        test = Test()
        test.peer.app = app
        await test.connect()
        test.peer.time_out()
        assert seen == ["the application's"]
        await test.leave()


class TestLatency:
    @pytest.mark.parametrize("latency", [0, 0.05, 0.1, 9.999])
    @in_no_time
    async def test_is_what_the_test_says(self, latency: float) -> None:
        test = Test()
        connection = await test.connect()
        test.peer.pong_after(latency)
        assert connection.keepalive.latency == pytest.approx(latency)
        assert await test.app.keepalive.ping() == pytest.approx(latency)
        await asyncio.sleep(45)
        assert connection.keepalive.statistics.count == 4
        assert connection.keepalive.statistics.maximum == pytest.approx(latency)
        assert [what for _, what, *_ in test.notes.taken] == ["opened", *["pinged", "ponged"] * 4]
        await test.leave()

    @in_no_time
    async def test_from_the_beginning(self) -> None:
        test = Test(latency=0.25)
        connection = await test.connect()
        assert connection.keepalive.latency is None
        assert await test.app.keepalive.ping() == 0.25
        await test.leave()

    @in_no_time
    async def test_of_pings_that_nobody_waits_for_any_more(self) -> None:
        test = Test(latency=2, ping_timeout=None)
        connection = await test.connect()
        connection.lose_pong()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(test.app.keepalive.ping(), 5)
        assert await test.app.keepalive.ping() == 2
        await test.leave()

    @pytest.mark.parametrize("latency", [10, 30, inf])
    @in_no_time
    async def test_too_long(self, latency: float) -> None:
        test = Test(latency=latency)
        connection = await test.connect()
        with pytest.raises(PingTimeout, match=r"^no Pong for 10 s$"):
            await test.app.keepalive.ping()
        assert connection.is_open
        connection.pong_after(latency)
        assert await test.app.receive() == FAILED
        assert elapsed() == 0
        await test.leave()

    @in_no_time
    async def test_too_long_for_an_ordinary_ping(self) -> None:
        test = Test(latency=inf)
        await test.connect()
        assert await test.app.receive() == FAILED
        assert elapsed() == 20
        await test.leave()

    @pytest.mark.parametrize(
        ("error", "latency", "shown"),
        [(ValueError, -1, "-1"), (ValueError, nan, "nan"), (TypeError, "1", "'1'")],
    )
    @in_no_time
    async def test_that_is_none(self, error: Any, latency: Any, shown: str) -> None:
        text = f"^latency must be a number of seconds, 0 or more, not {shown}$"
        with pytest.raises(error, match=text):
            Peer(Puppet(), latency=latency)
        test = Test()
        connection = await test.connect()
        for peer in test.peer, connection:
            with pytest.raises(error, match=text):
                peer.pong_after(latency)
        with pytest.raises(TypeError):
            connection.pong_after(True)
        assert connection.keepalive.statistics.pings == 0
        await test.leave()

    @in_no_time
    async def test_without_pings(self) -> None:
        test = Test(ping_interval=None)
        connection = await test.connect()
        test.peer.pong_after(0.5)
        assert connection.keepalive.statistics.pings == 0
        assert await test.app.keepalive.ping() == 0.5
        await test.leave()


class TestLostPong:
    @pytest.mark.parametrize("seconds", [0, 15])
    @in_no_time
    async def test_ping_of_the_application(self, seconds: float) -> None:
        """Its Pong is overdue before the next Ping is due, or after that."""
        test = Test(latency=0.5)
        connection = await test.connect()
        await asyncio.sleep(seconds)
        test.peer.lose_pong()
        with pytest.raises(PingTimeout):
            await test.app.keepalive.ping()
        assert elapsed() == seconds
        assert await test.app.keepalive.ping() == 0.5
        assert connection.is_open
        await test.leave()

    @in_no_time
    async def test_ping_of_the_keepalive(self) -> None:
        test = Test()
        connection = await test.connect()
        test.peer.lose_pong()
        connection.pong_after(0.5)
        assert await test.app.receive() == FAILED
        await test.leave()


class TestFrozenPeer:
    @pytest.mark.parametrize("event", [MESSAGE, {"type": "websocket.send", "bytes": b"x"}])
    @in_no_time
    async def test_holds_the_application_up_until_the_timeout(self, event: Any) -> None:
        test = Test()
        connection = await test.connect()
        test.peer.freeze()
        sending = asyncio.create_task(test.app.send(event))
        await asyncio.sleep(5)
        assert not sending.done()
        test.peer.time_out()
        with pytest.raises(KeepaliveTimeout):
            await sending
        verdict = connection.keepalive.verdict
        assert verdict
        assert (verdict.reason, verdict.unsent) == ("frozen", 1 + 6)
        assert await test.client.receive_output() == CLOSED
        assert elapsed() == 5
        await test.leave()

    @in_no_time
    async def test_times_out_by_itself(self) -> None:
        test = Test()
        connection = await test.connect()
        test.peer.freeze()
        assert await test.app.receive() == FAILED
        assert elapsed() == 30
        verdict = connection.keepalive.verdict
        assert verdict
        assert verdict.reason == "frozen"
        await test.leave()

    @in_no_time
    async def test_reads_again(self) -> None:
        test = Test()
        connection = await test.connect()
        test.peer.freeze()
        sending = asyncio.create_task(test.app.send(MESSAGE))
        ping = asyncio.create_task(test.app.keepalive.ping())
        await asyncio.sleep(5)
        assert not ping.done()
        test.peer.pong_after(0.5)
        await sending
        assert await test.client.receive_output() == MESSAGE
        # It is the test that says how long the Pong took.
        assert await ping == connection.keepalive.latency == 0.5
        await test.app.send(MESSAGE)
        assert connection.keepalive.statistics.pings == 1
        await test.leave()

    @in_no_time
    async def test_lets_the_application_close(self) -> None:
        test = Test()
        await test.connect()
        test.peer.freeze()
        sending = asyncio.create_task(test.app.send(MESSAGE))
        await ticks()
        await test.app.close()
        with pytest.raises(ConnectionError):
            await sending
        await test.leave()


class TestConnections:
    @in_no_time
    async def test_each_by_itself(self) -> None:
        one, other = Test(), Test()
        other.peer = one.peer
        first, second = await one.connect(), await other.connect()
        assert list(one.peer.connections) == [first, second]
        assert [str(first), first.path] == ["<PeerConnection /ws>", "/ws"]
        second.time_out()
        assert not first.keepalive.timed_out
        assert list(one.peer.connections) == [first]
        first.time_out()
        assert first.keepalive.timed_out
        one.app.returns()
        await one.client.wait()
        await other.client.wait()

    @in_no_time
    async def test_that_has_ended(self) -> None:
        test = Test()
        connection = await test.connect()
        await test.client.send_input({"type": "websocket.disconnect", "code": 1000})
        await test.app.receive()
        assert not connection.is_open
        with pytest.raises(RuntimeError, match=r"^<PeerConnection /ws> is not open any more$"):
            connection.time_out()
        with pytest.raises(RuntimeError, match="is not open any more"):
            connection.lose_pong()
        await test.leave()
        assert not connection.keepalive.timed_out

    @in_no_time
    async def test_whose_application_returns(self) -> None:
        test = Test()
        connection = await test.connect()
        test.app.returns()
        await test.client.wait()
        assert not connection.is_open
        freed = weakref.ref(connection)
        del connection
        gc.collect()
        assert freed() is None

    @pytest.mark.parametrize("has_middleware", [False, True])
    @in_no_time
    async def test_none_is_open(self, has_middleware: bool) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await receive()

        test = Test()
        if not has_middleware:
            test.peer.app = app
            with pytest.raises(IndexError):
                await test.connect()
        for call in test.peer.time_out, test.peer.freeze, test.peer.lose_pong:
            with pytest.raises(RuntimeError) as raised:
                call()
            assert str(raised.value) == NONE_OPEN
        with pytest.raises(RuntimeError):
            test.peer.pong_after(1)

    @pytest.mark.parametrize("denial", ["websocket.close", "websocket.http.response.start"])
    @in_no_time
    async def test_that_is_denied(self, denial: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": denial})
            with pytest.raises(RuntimeError):
                test.peer.time_out()

        test = Test()
        test.peer.app = KeepaliveMiddleware(app)
        with pytest.raises(AssertionError):
            await test.connect()
        await test.client.wait()
