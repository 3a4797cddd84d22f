"""P7: events and errors pass as they are, but for what a failure changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware

from ..support.connection import TIMES, outcome, until_failed
from ..support.fake_loop import FakeServer, accepted, fake_loop, in_no_time, ticks
from ..support.timeouts import FAILED


class TestTransparent:
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
    async def test_accept_is_passed_on_as_it_is(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(accept)

        accept = {"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"a", b"b")]}
        before = accept.copy()
        server = FakeServer(KeepaliveMiddleware(app, close_timeout=7))
        await server.task
        [sent] = server.sent
        assert sent is accept
        assert accept == before
        assert server.close_timeout == 7

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
