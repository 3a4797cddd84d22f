"""The functions of the extension: what each does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_keepalive.endpoint import kernel
from asgi_keepalive.endpoint.closing import State

from ..faults.differential.frames import raw
from ..support.client import PONG, TEXT
from ..support.endpoint import Connected
from ..support.fake_loop import elapsed, in_no_time, ticks

KINDS = pytest.mark.parametrize("reads", [True, False], ids=["read here", "read by the server"])


class TestTakeOver:
    @in_no_time
    async def test_ends_the_servers_own_keepalive(self) -> None:
        one = Connected()
        one.take_over()
        assert one.adapter.told[-1] == "stop_keepalive"

    @in_no_time
    async def test_only_once(self) -> None:
        one, other = Connected(), Connected()
        one.take_over()
        before = one.everything()
        with pytest.raises(RuntimeError, match=r"^the connection has been taken over already$"):
            one.endpoint.take_over(other.on_pong, other.on_closing)
        assert one.everything() == before
        one.endpoint.pong(b"1")
        one.endpoint.lost()
        assert (one.told, other.told) == ([b"1", "closing"], [])

    @in_no_time
    async def test_nobody_is_told_before(self) -> None:
        one = Connected()
        one.receive(raw(PONG, b"1") + raw(TEXT, b"text"))
        one.take_over()
        one.receive(raw(PONG, b"2"))
        assert one.told == []
        assert (await one.adapter.queue.get())["text"] == "text"
        await ticks()
        assert one.told == [b"2"]


class TestPing:
    @pytest.mark.parametrize("size", [0, 4, 125])
    @in_no_time
    async def test_is_written(self, size: int) -> None:
        one = Connected()
        one.endpoint.ping(bytes(size))
        assert one.transport.written == bytes((0x89, size)) + bytes(size)


class TestFail:
    @KINDS
    @in_no_time
    async def test_writes_a_close_tells_the_server_and_waits_for_the_peer(
        self, reads: bool
    ) -> None:
        one = Connected(reads=reads)
        one.take_over()
        one.endpoint.fail(1011, "keepalive ping timeout", 3)
        assert one.transport.written == b"\x88\x18\x03\xf3keepalive ping timeout"
        assert one.adapter.told[2] == ("failed", 1011, "keepalive ping timeout")
        assert one.adapter.transport.state is State.LINGERING
        await asyncio.sleep(2.9)
        assert one.transport.names() == ["resume_reading", "write_eof"]
        await asyncio.sleep(0.2)
        assert one.transport.calls[2] == ("abort", 3)
        assert one.told == []

    @pytest.mark.parametrize("seconds", [0, 0.5])
    @in_no_time
    async def test_its_timeout_counts(self, seconds: float) -> None:
        one = Connected()
        one.endpoint.bound_closing(7)
        one.endpoint.fail(4999, "x" * 123, seconds)
        await asyncio.sleep(10)
        assert one.transport.calls[-1] == ("abort", seconds)

    @in_no_time
    async def test_neither_callback_is_called_any_more(self) -> None:
        one = Connected()
        one.take_over()
        one.endpoint.read_ahead(one.on_read_paused)
        one.endpoint.fail(1011, "", 3)
        one.endpoint.pong(b"late")
        one.endpoint.read_paused(True)
        one.transport.protocol.connection_lost(None)
        assert one.told == []


class TestReadAhead:
    FIVE = raw(TEXT, b"x") * 5

    @in_no_time
    async def test_not_called_reading_pauses_at_the_first_message(self) -> None:
        one = Connected()
        one.take_over()
        one.receive(self.FIVE + raw(PONG, b"1"))
        assert one.transport.names() == ["pause_reading"]
        assert one.adapter.queue.unread == 1
        for _ in range(5):
            await one.adapter.queue.get()
        await ticks()
        assert one.transport.names() == ["pause_reading", "resume_reading"]
        assert one.told == [b"1"]

    @in_no_time
    async def test_reads_up_to_the_servers_bound_and_tells_of_pauses(self) -> None:
        one = Connected()
        one.take_over()
        one.endpoint.read_ahead(one.on_read_paused)
        one.receive(raw(TEXT, b"x") * 3 + raw(PONG, b"1"))
        assert one.told == [b"1"]
        one.receive(self.FIVE)
        assert one.told == [b"1", True]
        for _ in range(2):
            await one.adapter.queue.get()
        assert one.told == [b"1", True, False]

    @in_no_time
    async def test_of_a_server_that_reads_tells_of_pauses(self) -> None:
        one = Connected(reads=False)
        one.endpoint.read_paused(True)
        one.endpoint.read_ahead(one.on_read_paused)
        one.endpoint.read_paused(False)
        one.endpoint.read_paused(True)
        assert one.told == [False, True]

    @in_no_time
    async def test_after_the_end_tells_nothing(self) -> None:
        one = Connected()
        one.endpoint.lost()
        one.endpoint.read_ahead(one.on_read_paused)
        one.endpoint.read_paused(True)
        assert one.told == []


class TestBoundClosing:
    @in_no_time
    async def test_bounds_the_close_of_a_server(self) -> None:
        one = Connected()
        one.transport.buffered = 1
        one.endpoint.bound_closing(4)
        await asyncio.sleep(1)
        one.adapter.transport.close()
        one.endpoint.bound_closing(1)  # it has begun
        await asyncio.sleep(10)
        assert one.transport.calls[-1] == ("abort", 5)

    @in_no_time
    async def test_not_called_there_is_a_bound_too(self) -> None:
        one = Connected()
        one.transport.buffered = 1
        one.adapter.transport.close()
        await asyncio.sleep(20)
        assert one.transport.calls[-1] == ("abort", 10)


class TestTraffic:
    @pytest.mark.parametrize(
        ("of_kernel", "buffered", "expected"),
        [
            ({}, 0, {}),
            ({}, 5, {"unsent": 5}),
            ({"unsent": 0, "quiet": 1.5}, 0, {"unsent": 0, "quiet": 1.5}),
            ({"unsent": 7, "quiet": 1.5}, 5, {"unsent": 12, "quiet": 1.5}),
            (
                {"unsent": 7, "acknowledged": 3, "unacknowledged": 9, "received": 2},
                5,
                {"unsent": 12, "acknowledged": 3, "unacknowledged": 14, "received": 2},
            ),
        ],
    )
    @in_no_time
    async def test_is_what_transport_and_kernel_say(
        self, of_kernel: Any, buffered: int, expected: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = Connected()

        def traffic(sock: object) -> Any:
            assert sock is one.transport.get_extra_info("socket")
            return of_kernel.copy()

        monkeypatch.setattr(kernel, "traffic", traffic)
        one.transport.buffered = buffered
        assert one.endpoint.traffic() == expected
        assert one.endpoint.buffered() == buffered

    @in_no_time
    async def test_is_what_has_been_read_where_the_kernel_does_not_tell(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kernel, "tells", lambda sock: False)
        one = Connected()
        one.receive(b"12345")
        await asyncio.sleep(3)
        one.receive(b"678")
        await asyncio.sleep(2)
        assert one.endpoint.traffic() == {"quiet": 2, "received": 8}

    @in_no_time
    async def test_is_nothing_once_the_connection_closes(self) -> None:
        one = Connected()
        one.endpoint.fail(1011, "", 1)
        assert one.endpoint.traffic() == {}
        assert elapsed() == 0
