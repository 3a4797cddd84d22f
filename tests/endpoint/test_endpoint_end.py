"""The end of a connection: it is told once, and nothing is kept."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from asgi_keepalive.endpoint.closing import State
from asgi_keepalive.extension import Disconnected

from ..faults.differential.frames import close, raw
from ..support.client import PONG, TEXT
from ..support.endpoint import Connected
from ..support.fake_loop import elapsed, fake_loop, in_no_time, ticks
from ..support.transport import FakeTransport


async def nothing(event: Any) -> None:
    pass


async def unused(event: Any) -> None:
    raise AssertionError("never called")


async def never(event: Any) -> None:
    await asyncio.Event().wait()


ENDS: dict[str, Callable[[Connected], object]] = {
    "server closes": lambda one: one.adapter.transport.close(),
    "server half-closes": lambda one: one.adapter.transport.write_eof(),
    "server lingers": lambda one: one.adapter.transport.linger(),
    "server bounds a close": lambda one: one.adapter.transport.abort_after(1),
    "end of file": lambda one: one.transport.protocol.eof_received(),  # type: ignore[attr-defined]
    "loss": lambda one: one.transport.protocol.connection_lost(None),
    "adapter tells": lambda one: one.endpoint.closing(),
}
EACH_END = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())


class TestOnClosing:
    @EACH_END
    @in_no_time
    async def test_is_called_once_and_at_once(self, end: Callable[[Connected], object]) -> None:
        one = Connected()
        one.take_over()
        end(one)
        assert one.told == ["closing"]
        for again in ENDS.values():
            again(one)
        assert one.told == ["closing"]
        assert one.adapter.transport.state is State.LOST

    @EACH_END
    @in_no_time
    async def test_is_called_by_take_over_if_the_end_was_before(
        self, end: Callable[[Connected], object]
    ) -> None:
        one = Connected()
        end(one)
        one.take_over()
        assert one.told == ["closing"]
        assert one.adapter.told.count("stop_keepalive") == 1
        one.endpoint.lost()
        one.endpoint.pong(b"late")
        assert one.told == ["closing"]

    @pytest.mark.parametrize("reads", [True, False])
    @in_no_time
    async def test_transport_that_is_closing_from_the_beginning(self, reads: bool) -> None:
        """An application may begin with the connection of a peer that has left."""
        transport = FakeTransport()
        transport.closing = True
        one = Connected(reads=reads, transport=transport)
        assert one.adapter.told == ["use_transport"]
        one.take_over()
        assert one.told == []
        one.endpoint.lost()
        assert one.told == ["closing"]
        assert one.adapter.transport.state is State.LOST
        assert "end_writing" in one.adapter.told
        assert transport.calls == []

    @pytest.mark.parametrize("reads", [True, False])
    @in_no_time
    async def test_connection_that_has_been_lost_before(self, reads: bool) -> None:
        one = Connected(reads=reads)
        one.endpoint.lost()
        one.take_over()
        assert one.told == ["closing"]

    @pytest.mark.parametrize("buffered", [0, 1])
    @in_no_time
    async def test_transport_stays_open_after_an_end_of_file_while_something_is_unsent(
        self, buffered: int
    ) -> None:
        one = Connected()
        one.transport.buffered = buffered
        protocol: Any = one.transport.protocol
        assert protocol.eof_received() is bool(buffered)
        assert one.adapter.told[-1] == "end_writing"
        one.endpoint.lost()

    @in_no_time
    async def test_finds_the_connection_not_open(self) -> None:
        one = Connected()

        def on_closing() -> None:
            with pytest.raises(OSError, match="not open"):
                one.endpoint.ping(b"")
            assert one.endpoint.traffic() == {}
            one.told.append("refused")

        one.endpoint.take_over(one.on_pong, on_closing)
        one.endpoint.closing()
        assert one.told == ["refused"]

    @in_no_time
    async def test_is_told_with_the_application_though_it_is_behind(self) -> None:
        one = Connected()
        one.take_over()
        one.receive(raw(TEXT, b"first") + raw(TEXT, b"second") + raw(PONG, b"late"))
        one.transport.closing = True
        one.transport.protocol.connection_lost(None)
        assert one.told == ["closing"]
        received = [(await one.adapter.queue.get()).get("text") for _ in range(2)]
        assert received == ["first", "second"]
        assert (await one.adapter.queue.get())["type"] == "websocket.disconnect"
        assert one.told == ["closing"]


class TestNothingIsKept:
    @pytest.mark.parametrize("is_over", [False, True])
    @pytest.mark.parametrize("is_failed", [False, True])
    @in_no_time
    async def test_of_the_callbacks(self, is_over: bool, is_failed: bool) -> None:
        class Owner:
            def on_pong(self, payload: bytes, time: float) -> None:
                pass

            def on_closing(self) -> None:
                pass

            def on_read_paused(self, paused: bool, time: float) -> None:
                pass

        one = Connected()

        def begin() -> weakref.ref[Owner]:
            owner = Owner()
            one.endpoint.take_over(owner.on_pong, owner.on_closing)
            one.endpoint.read_ahead(owner.on_read_paused)
            return weakref.ref(owner)

        if is_over:
            one.endpoint.closing()
        reference = begin()
        if is_failed and not is_over:
            one.endpoint.fail(1011, "", 1)
        else:
            one.endpoint.closing()
        gc.collect()
        assert reference() is None
        one.endpoint.lost()

    @in_no_time
    async def test_of_the_timers(self) -> None:
        one = Connected()
        one.transport.buffered = 1
        one.endpoint.fail(1011, "", 5)
        assert len(fake_loop().timers()) == 2
        one.transport.protocol.connection_lost(None)
        assert fake_loop().timers() == []
        assert one.adapter.told[-1] == ("connection_lost", None)


class TestSend:
    """The application's events, but messages, pass the endpoint."""

    @in_no_time
    async def test_goes_on_to_the_server(self) -> None:
        one = Connected(is_open=False)
        sent: list[Any] = []

        async def send(event: Any) -> None:
            assert one.adapter.told == ["use_transport"]
            sent.append(event)
            one.adapter.server_holds = b""

        event = {"type": "websocket.http.response.start"}
        await one.endpoint.send(send, event)
        assert sent == [event]
        assert sent[0] is event
        one.receive(b"for the server")
        assert one.adapter.forwarded == [b"for the server"]

    @in_no_time
    async def test_of_an_accept_lets_the_reading_begin(self) -> None:
        one = Connected(is_open=False)
        one.take_over()

        async def send(event: Any) -> None:
            one.adapter.has_opened = True
            one.adapter.server_holds = raw(PONG, b"1")

        await one.endpoint.send(send, {"type": "websocket.accept"})
        assert one.told == [b"1"]

    @pytest.mark.parametrize("reads", [True, False])
    @in_no_time
    async def test_of_an_accept_after_which_nothing_is_open_tells_of_the_end(
        self, reads: bool
    ) -> None:
        one = Connected(reads=reads, is_open=False)
        one.take_over()
        await one.endpoint.send(nothing, {"type": "websocket.accept"})
        assert one.told == ["closing"]

    @in_no_time
    async def test_of_anything_else_does_not(self) -> None:
        one = Connected(is_open=False)
        one.take_over()
        await one.endpoint.send(nothing, {"type": "websocket.http.response.start"})
        assert one.told == []

    @pytest.mark.parametrize("reads", [True, False])
    @in_no_time
    async def test_of_a_close_is_bounded_though_it_waits(self, reads: bool) -> None:
        one = Connected(reads=reads)
        one.take_over()
        one.endpoint.bound_closing(2)
        sending = asyncio.ensure_future(one.endpoint.send(never, {"type": "websocket.close"}))
        await ticks()
        assert one.told == ["closing"]
        await asyncio.sleep(3)
        assert one.transport.calls == [("abort", 2)]
        assert elapsed() == 3
        sending.cancel()
        await ticks()

    @pytest.mark.parametrize("error", [RuntimeError(), asyncio.CancelledError()], ids=repr)
    @in_no_time
    async def test_that_raises_may_have_been_taken(self, error: BaseException) -> None:
        one = Connected(is_open=False)
        one.take_over()

        async def send(event: Any) -> None:
            one.adapter.has_opened = True
            one.adapter.server_holds = raw(PONG, b"1")
            raise error

        with pytest.raises(type(error)) as caught:
            await one.endpoint.send(send, {"type": "websocket.accept"})
        assert caught.value is error
        assert one.told == [b"1"]

    @in_no_time
    async def test_of_a_close_lets_the_answer_be_read_whatever_is_unread(self) -> None:
        one = Connected()
        one.receive(raw(TEXT, b"first") + raw(TEXT, b"second") + close(1000))
        assert one.adapter.told[-1] == "has_read"
        await one.endpoint.send(nothing, {"type": "websocket.close"})
        await ticks()
        assert one.adapter.told[-1] == ("peer_closed", 1000, "")

    @pytest.mark.parametrize("reads", [True, False])
    @in_no_time
    async def test_after_a_failure_says_that_it_is_too_late(self, reads: bool) -> None:
        one = Connected(reads=reads)
        one.endpoint.fail(1011, "", 1)
        before = one.everything()
        for kind in "websocket.close", "websocket.accept":
            with pytest.raises(Disconnected):
                await one.endpoint.send(unused, {"type": kind})
        assert one.everything() == before
