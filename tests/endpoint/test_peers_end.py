"""The peer has shut down its side; an event loop would give up the descriptor."""

from __future__ import annotations

import asyncio
from typing import Any

from asgi_keepalive.endpoint.closing import BoundedTransport
from asgi_keepalive.endpoint.lingering import (
    LONGEST_WAIT,
)

from ..support.fake_loop import elapsed, fake_loop, in_no_time
from ..support.transport import FakeTransport, bounded


class TestEndOfFile:
    """The peer has shut down its side; an event loop would give up the descriptor."""

    @in_no_time
    async def test_when_everything_is_acknowledged(self) -> None:
        transport = FakeTransport()
        assert bounded(transport).eof_received() is False
        await asyncio.sleep(10)
        assert transport.calls == [("abort", 3)]

    @in_no_time
    async def test_waits_until_everything_is(self) -> None:
        transport = FakeTransport(buffered=1)
        assert bounded(transport).eof_received() is True
        assert transport.calls == [("resume_reading", 0)]
        await asyncio.sleep(1)
        transport.buffered = 0
        await asyncio.sleep(LONGEST_WAIT)
        assert [call for call, _ in transport.calls[1:]] == ["write_eof", "close"]
        assert transport.calls[-1][1] <= 1 + LONGEST_WAIT

    @in_no_time
    async def test_but_not_for_ever(self) -> None:
        transport = FakeTransport(buffered=1)
        one = bounded(transport)
        one.eof_received()
        await asyncio.sleep(3)
        assert transport.calls[-1] == ("abort", 3)
        one.lost()
        await asyncio.sleep(LONGEST_WAIT)
        assert fake_loop().timers() == []

    @in_no_time
    async def test_while_it_closes_already(self) -> None:
        """The time of the first beginning counts."""
        transport = FakeTransport(buffered=1)
        one = bounded(transport)
        one.close()
        await asyncio.sleep(2)
        discard: Any = transport.protocol
        assert discard.eof_received() is True
        await asyncio.sleep(2)
        assert transport.calls == [("resume_reading", 0), ("abort", 3)]

    @in_no_time
    async def test_nothing_more_is_written(self) -> None:
        ended: list[float] = []
        transport = FakeTransport()
        one = BoundedTransport(
            transport, fake_loop(), lambda: None, lambda: ended.append(elapsed())
        )
        one.eof_received()
        one.write(b"after")
        assert one.is_closing()
        assert ended == [0]
        assert transport.written == b""

    @in_no_time
    async def test_ends_a_linger_once_everything_is_acknowledged(self) -> None:
        """There is nothing left to linger for, but no end of file will come again."""
        transport = FakeTransport(buffered=1)
        bounded(transport).linger()
        discard: Any = transport.protocol
        assert discard.eof_received() is True
        await asyncio.sleep(1)
        transport.buffered = 0
        await asyncio.sleep(LONGEST_WAIT)
        assert [call for call, _ in transport.calls] == ["resume_reading", "write_eof", "close"]

    @in_no_time
    async def test_of_tls(self) -> None:
        transport = FakeTransport(can_write_eof=False, buffered=1)
        one = bounded(transport)
        assert one.eof_received() is False
        assert transport.calls == []
        one.lost()
