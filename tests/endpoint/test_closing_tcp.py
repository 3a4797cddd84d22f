"""Closing TCP: everything is written and acknowledged before the descriptor is given up."""

from __future__ import annotations

import asyncio
import errno
from itertools import pairwise
from typing import Any

import pytest

from asgi_keepalive.endpoint.closing import BoundedTransport
from asgi_keepalive.endpoint.kernel import (
    unread,
)
from asgi_keepalive.endpoint.lingering import (
    FIRST_LOOK,
    LONGEST_WAIT,
)

from ..support.fake_loop import elapsed, fake_loop, in_no_time, ticks
from ..support.tcp import Pair
from ..support.transport import FakeTransport, bounded


class TestClose:
    @in_no_time
    async def test_when_everything_is_acknowledged(self) -> None:
        transport = FakeTransport()
        bounded(transport).close()
        assert transport.calls == [("resume_reading", 0), ("close", 0)]

    @in_no_time
    async def test_descriptor_is_kept_while_something_is_not(self) -> None:
        transport = FakeTransport(buffered=1)
        bounded(transport).close()
        await asyncio.sleep(1)
        assert transport.calls == [("resume_reading", 0)]
        transport.buffered = 0
        await asyncio.sleep(LONGEST_WAIT)
        assert [call for call, _ in transport.calls[1:]] == ["write_eof", "close"]
        assert transport.calls[-1][1] <= 1 + LONGEST_WAIT

    @in_no_time
    async def test_looks_less_and_less_often(self) -> None:
        """Thousands of connections may be closing at once, for as long as the timeout is."""
        looks: list[float] = []

        class Watched(FakeTransport):
            def get_write_buffer_size(self) -> int:
                looks.append(round(elapsed(), 6))
                return 1

        one = bounded(Watched())
        one.close_timeout = 10
        one.close()
        await asyncio.sleep(9)
        times = sorted(set(looks))
        assert times[1] == FIRST_LOOK
        waits = [round(later - earlier, 6) for earlier, later in pairwise(times)]
        assert waits == sorted(waits)
        assert waits[-1] == LONGEST_WAIT
        assert len(times) < 25

    @in_no_time
    async def test_sending_side_is_shut_down_as_soon_as_everything_is_written(self) -> None:
        transport = FakeTransport(buffered=1)
        bounded(transport).close()
        await asyncio.sleep(2)
        transport.buffered = 0
        transport.protocol.resume_writing()
        assert len(transport.calls) == 1  # the transport is in the midst of its own steps
        await ticks()
        assert transport.calls[1:] == [("write_eof", 2), ("close", 2)]
        assert transport.limit == 0  # or the transport would tell of it before, or not at all

    @pytest.mark.parametrize("buffered", [0, 1])
    @in_no_time
    async def test_but_not_if_it_is_gone_by_then(self, buffered: int) -> None:
        transport = FakeTransport(buffered=1)
        one = bounded(transport)
        one.close()
        transport.buffered = buffered
        transport.protocol.resume_writing()
        one.lost()
        await ticks()
        assert transport.names() == ["resume_reading"]
        assert fake_loop().timers() == []

    @in_no_time
    async def test_nor_on_tls(self) -> None:
        transport = FakeTransport(can_write_eof=False, buffered=1)
        one = bounded(transport)
        one.close()
        transport.buffered = 0
        transport.protocol.resume_writing()
        await ticks()
        assert transport.names() == ["resume_reading", "close"]
        one.lost()

    @in_no_time
    async def test_tls_has_no_half_close(self) -> None:
        for close in BoundedTransport.close, BoundedTransport.linger:
            transport = FakeTransport(can_write_eof=False, buffered=1)
            one = bounded(transport)
            close(one)
            assert transport.calls == [("resume_reading", elapsed()), ("close", elapsed())]
            await asyncio.sleep(2)
            assert len(transport.calls) == 2
            one.lost()


class TestHalfClose:
    @in_no_time
    async def test_half_close_of_a_peer_that_has_sent_everything(self) -> None:
        transport = FakeTransport()
        bounded(transport).write_eof()
        assert transport.calls == [("resume_reading", 0), ("write_eof", 0), ("close", 0)]

    @pytest.mark.parametrize("server_closes", [False, True])
    @in_no_time
    async def test_half_close_reads_on_while_the_peer_sends(
        self, pair: Pair, server_closes: bool
    ) -> None:
        near, far = pair
        far.send(b"unread")
        transport = FakeTransport(sock=near)
        one = bounded(transport)
        one.write_eof()
        discard: Any = transport.protocol
        while elapsed() < 1:
            discard.data_received(b"more")
            await asyncio.sleep(FIRST_LOOK / 2)
        assert transport.calls == [("resume_reading", 0), ("write_eof", 0)]
        if server_closes:
            one.close()
        else:
            await asyncio.sleep(2 * LONGEST_WAIT)
        assert [call for call, _ in transport.calls[2:]] == ["close"]
        if server_closes:
            discard.data_received(b"more")
            one.hurry()
            await asyncio.sleep(2 * LONGEST_WAIT)
            assert len(transport.calls) == 3

    @in_no_time
    async def test_half_close_of_what_lingers_changes_nothing(self) -> None:
        transport = FakeTransport()
        one = bounded(transport)
        one.linger()
        one.write_eof()
        one.close()
        await asyncio.sleep(2)
        assert transport.calls == [("resume_reading", 0), ("write_eof", 0)]


class TestLinger:
    @in_no_time
    async def test_lingering_keeps_it_until_the_peer_closes(self) -> None:
        transport = FakeTransport()
        one = bounded(transport)
        one.linger()
        await asyncio.sleep(2)
        assert transport.calls == [("resume_reading", 0), ("write_eof", 0)]
        discard: Any = transport.protocol
        assert discard.eof_received() is False  # then the event loop closes

    @in_no_time
    async def test_sending_side_is_not_shut_down_while_the_peer_sends(self) -> None:
        transport = FakeTransport(buffered=1)
        bounded(transport).linger()
        transport.buffered = 0
        discard: Any = transport.protocol
        while elapsed() < 1:
            discard.data_received(b"more")
            await asyncio.sleep(FIRST_LOOK / 2)
        assert transport.calls == [("resume_reading", 0)]
        await asyncio.sleep(2 * LONGEST_WAIT)
        assert [call for call, _ in transport.calls[1:]] == ["write_eof"]

    @in_no_time
    async def test_nor_while_what_the_peer_sent_is_unread(self, pair: Pair) -> None:
        near, far = pair
        far.send(b"unread")
        assert unread(near) == len(b"unread")
        transport = FakeTransport(sock=near)
        bounded(transport).linger()
        assert transport.calls == [("resume_reading", 0)]
        await asyncio.sleep(2 * FIRST_LOOK)
        assert [call for call, _ in transport.calls[1:]] == ["write_eof"]

    @in_no_time
    async def test_peer_that_is_gone_when_the_sending_side_is_shut_down(self) -> None:
        class Gone(FakeTransport):
            def write_eof(self) -> None:
                raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        transport = Gone()
        bounded(transport).linger()
        assert transport.calls == [("resume_reading", 0), ("close", 0)]


class TestHurry:
    @in_no_time
    async def test_shutdown_of_the_server_does_not_wait_for_a_lingering_peer(self) -> None:
        transport = FakeTransport()
        one = bounded(transport)
        one.linger()
        await asyncio.sleep(1)
        assert one.hurry() is True
        assert transport.calls[2:] == [("close", 1)]

    @in_no_time
    async def test_shutdown_of_the_server_while_something_is_not_acknowledged(self) -> None:
        transport = FakeTransport(buffered=1)
        one = bounded(transport)
        one.close()
        await asyncio.sleep(1)
        assert one.hurry() is True
        transport.buffered = 0
        await asyncio.sleep(2 * FIRST_LOOK)
        assert [call for call, _ in transport.calls[1:]] == ["write_eof", "close"]

    @in_no_time
    async def test_shutdown_of_the_server_leaves_tls_alone(self) -> None:
        """Closed a second time, asyncio's TLS transport could no longer be aborted."""
        transport = FakeTransport(can_write_eof=False)
        one = bounded(transport)
        one.close()
        assert one.hurry() is True
        assert len(transport.calls) == 2
        one.lost()

    @in_no_time
    async def test_of_tls_that_is_half_closed_leaves_it_alone(self) -> None:
        transport = FakeTransport(can_write_eof=False)
        one = bounded(transport)
        one.write_eof()
        one.close()
        assert transport.calls == [("resume_reading", 0), ("close", 0)]
        one.lost()
