"""The one buffer into which all connections of a thread are read, on asyncio's own TCP."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from asgi_keepalive.endpoint.receiver import Receiver
from asgi_keepalive.endpoint.receiving import BUFFER_SIZE, BufferedReceiver, receive

from ..faults.differential.frames import raw
from ..support.adapter import FakeAdapter
from ..support.client import BINARY
from ..support.fake_loop import in_no_time
from ..support.receiver import FakeEndpoint
from ..support.transport import FakeTransport


def received_by(
    transport: FakeTransport, loop: asyncio.AbstractEventLoop | None = None
) -> tuple[Any, FakeAdapter]:
    """Return the receiver of a transport, and the adapter that it calls."""
    adapter = FakeAdapter(transport, is_open=False)
    if loop is not None:
        adapter.loop = loop
    receiver = receive(adapter, transport, FakeEndpoint(adapter.told))
    assert transport.protocol is receiver
    return receiver, adapter


def read(receiver: BufferedReceiver, data: bytes) -> None:
    """Do what a transport does that has received something."""
    receiver.get_buffer(-1)[: len(data)] = data
    receiver.buffer_updated(len(data))


@in_no_time
async def test_what_was_read_stays_as_it_was_while_others_read() -> None:
    first, one = received_by(FakeTransport())
    second, other = received_by(FakeTransport())
    read(first, b"0123456789")
    read(second, b"abc")
    read(first, b"4")
    assert [one.forwarded, other.forwarded] == [[b"0123456789", b"4"], [b"abc"]]
    assert all(type(data) is bytes for data in one.forwarded)
    assert first.get_buffer(-1).obj is second.get_buffer(-1).obj


@in_no_time
async def test_a_full_buffer_is_read_whole() -> None:
    receiver, adapter = received_by(FakeTransport())
    adapter.server_holds = b""
    adapter.max_size = 2 * BUFFER_SIZE
    receiver.begin()
    message = bytes(range(256)) * (BUFFER_SIZE // 256)
    stream = raw(BINARY, message)
    read(receiver, stream[:BUFFER_SIZE])
    read(receiver, stream[BUFFER_SIZE:])
    assert (await adapter.queue.get())["bytes"] == message


@in_no_time
async def test_threads_do_not_share_a_buffer() -> None:
    """A read gives up the interpreter's lock while the kernel copies."""
    receiver, _ = received_by(FakeTransport())
    views = [receiver.get_buffer(-1)]
    thread = threading.Thread(target=lambda: views.append(receiver.get_buffer(-1)))
    thread.start()
    thread.join()
    assert views[0].obj is not views[1].obj


@in_no_time
async def test_it_is_for_asyncios_tcp() -> None:
    receiver, _ = received_by(FakeTransport())
    assert isinstance(receiver, asyncio.BufferedProtocol)


@in_no_time
async def test_tls_has_a_buffer_of_its_own() -> None:
    receiver, _ = received_by(FakeTransport(can_write_eof=False))
    assert type(receiver) is Receiver
    assert not isinstance(receiver, asyncio.BufferedProtocol)


@in_no_time
async def test_uvloop_has_a_buffer_of_its_own() -> None:
    loop = pytest.importorskip("uvloop").new_event_loop()
    receiver, _ = received_by(FakeTransport(), loop)
    loop.close()
    assert type(receiver) is Receiver
