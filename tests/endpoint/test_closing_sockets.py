"""Closing a connection of which the kernel holds something."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from asgi_keepalive.endpoint.kernel import unacknowledged
from asgi_keepalive.endpoint.lingering import LONGEST_WAIT

from ..support.fake_loop import in_no_time
from ..support.tcp import Pair, drain, fill
from ..support.transport import FakeTransport, bounded


@in_no_time
async def test_a_close_waits_for_it(pair: Pair) -> None:
    near, far = pair
    far.setblocking(False)
    fill(near)
    transport = FakeTransport(sock=near)
    bounded(transport).close()
    await asyncio.sleep(1)
    assert [call for call, _ in transport.calls] == ["resume_reading", "write_eof"]
    while unacknowledged(near):
        with suppress(BlockingIOError):
            far.recv(65536)
    await asyncio.sleep(LONGEST_WAIT)
    assert transport.calls[-1][0] == "close"


@in_no_time
@pytest.mark.parametrize("reads", [False, True])
async def test_tls_that_closes_its_descriptor(pair: Pair, reads: bool) -> None:
    near, far = pair
    left = fill(near)
    one = bounded(FakeTransport(can_write_eof=False, sock=near))
    one.eof_received()
    near.close()
    one.lost()
    await asyncio.sleep(1)
    if reads:
        while left:
            left -= len(far.recv(65536))
        await asyncio.sleep(LONGEST_WAIT)
        assert far.recv(65536) == b""
    else:
        await asyncio.sleep(2)
        with pytest.raises(ConnectionResetError):
            drain(far)


@in_no_time
async def test_tls_that_has_closed_its_descriptor(pair: Pair) -> None:
    near, far = pair
    near.close()
    one = bounded(FakeTransport(can_write_eof=False, sock=near))
    one.eof_received()
    one.lost()
    assert far.recv(1) == b""
