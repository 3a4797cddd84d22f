"""A close has its time, and its owner is told of it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from asgi_keepalive.endpoint.closing import BoundedTransport, State

from ..support.fake_loop import elapsed, fake_loop, in_no_time
from ..support.transport import FakeTransport, bounded

CLOSE = [BoundedTransport.close, BoundedTransport.write_eof, BoundedTransport.linger]


class TestTime:
    @in_no_time
    async def test_is_aborted_when_its_time_is_up(self) -> None:
        transport = FakeTransport(buffered=1)
        bounded(transport).close()
        await asyncio.sleep(10)
        assert transport.calls[1:] == [("abort", 3)]
        sock = transport.get_extra_info("socket")
        linger = sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        assert linger == (1).to_bytes(4, sys.byteorder) + bytes(4)

    @in_no_time
    async def test_is_not_aborted_once_it_is_gone(self) -> None:
        transport = FakeTransport()
        one = bounded(transport)
        one.close()
        one.lost()
        assert fake_loop().timers() == []
        await asyncio.sleep(10)
        assert ("abort", 3) not in transport.calls

    @pytest.mark.parametrize("again", CLOSE)
    @in_no_time
    async def test_twice_is_as_good_as_once(
        self, again: Callable[[BoundedTransport], None]
    ) -> None:
        transport = FakeTransport(buffered=1)
        one = bounded(transport)
        one.close()
        await asyncio.sleep(2)
        again(one)
        await asyncio.sleep(10)
        assert transport.calls == [("resume_reading", 0), ("abort", 3)]

    @pytest.mark.parametrize("close", CLOSE)
    @in_no_time
    async def test_of_what_is_gone(self, close: Callable[[BoundedTransport], None]) -> None:
        transport = FakeTransport(buffered=1)
        one = bounded(transport)
        one.lost()
        close(one)
        one.abort_after(1)
        one.abort()
        assert transport.calls == []
        assert fake_loop().timers() == []

    @in_no_time
    async def test_first_limit_counts(self) -> None:
        transport = FakeTransport(buffered=1)
        one = bounded(transport)
        one.abort_after(1)
        one.abort_after(0)
        one.close()
        await asyncio.sleep(10)
        assert transport.calls[-1] == ("abort", 1)


class TestOthers:
    """The server, the endpoint, and whoever waits to write."""

    @in_no_time
    async def test_nobody_waits_to_write_any_more(self) -> None:
        for close in BoundedTransport.close, BoundedTransport.eof_received, BoundedTransport.lost:
            ended = asyncio.Event()
            transport = FakeTransport(buffered=1)
            close(BoundedTransport(transport, fake_loop(), lambda: None, ended.set))
            assert ended.is_set()

    @in_no_time
    async def test_owner_is_told_once_that_it_begins(self) -> None:
        told: list[float] = []
        one = bounded(FakeTransport(), lambda: told.append(elapsed()))
        await asyncio.sleep(1)
        one.abort_after(5)
        await asyncio.sleep(1)
        one.close()
        one.eof_received()
        one.lost()
        assert told == [1]

    @in_no_time
    async def test_exit_leaves_a_close_alone_that_has_begun(self) -> None:
        one = bounded(FakeTransport(buffered=1))
        one.close()
        one.close_at_exit(lambda: pytest.fail("it is closed again"))
        assert one.state is State.HURRYING

    @in_no_time
    async def test_transport_of_tls_is_not_closed_twice(self) -> None:
        """The event loop closes it at the peer's close_notify; asyncio's could not be aborted."""
        transport = FakeTransport(can_write_eof=False, buffered=1)
        one = bounded(transport)
        assert one.eof_received() is False
        one.close()
        await asyncio.sleep(one.close_timeout)
        assert transport.names() == ["abort"]

    @in_no_time
    async def test_nothing_more_is_written_or_read(self) -> None:
        class Protocol(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                raise AssertionError("not discarded")

            def connection_lost(self, exc: Exception | None) -> None:
                heard.append(exc)

            def pause_writing(self) -> None:
                raise AssertionError("nobody writes any more")

            def resume_writing(self) -> None:
                heard.append("resume_writing")

        heard: list[object] = []
        transport = FakeTransport(buffered=1)
        transport.protocol = Protocol()
        one = bounded(transport)
        one.write(b"before")
        assert not one.is_closing()
        one.close()
        transport.calls.clear()
        one.write(b"after")
        one.pause_reading()
        one.resume_reading()
        assert one.is_closing()
        assert (transport.written, transport.calls) == (b"before", [])

        # The server's own protocol still learns what it waits for.
        discard: Any = transport.protocol
        error = ConnectionResetError()
        discard.data_received(b"late")
        discard.resume_writing()  # of a pause before
        discard.pause_writing()  # of what had been written
        discard.resume_writing()
        discard.connection_lost(error)
        assert heard == ["resume_writing", error]

    @in_no_time
    async def test_all_else_is_the_transports_own(self) -> None:
        one = bounded(FakeTransport())
        assert one.get_extra_info("peername") == ("192.0.2.1", 50000)
        with pytest.raises(AttributeError):
            _ = one.unknown
