"""Closing, and attaching to uvicorn, where no real server and peer can be made to show it."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
import uvicorn
from uvicorn import Config
from uvicorn.protocols.websockets.websockets_impl import WebSocketProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from uvicorn.server import ServerState
from websockets.protocol import State

from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.servers import extend
from asgi_keepalive.servers.closing import FIRST_LOOK, LONGEST_WAIT, BoundedTransport
from asgi_keepalive.servers.kernel import duplicate, reset_on_close, traffic, unacknowledged, unread
from asgi_keepalive.servers.uvicorn import _module, attach, legacy, sansio, shared, wsproto

from .support.client import PING, PONG, TEXT, frame
from .support.fake_loop import elapsed, fake_loop, in_no_time, ticks


class FakeTransport(asyncio.Transport):
    """Notes what is done to it; `buffered` bytes wait to be sent."""

    def __init__(
        self,
        *,
        can_write_eof: bool = True,
        buffered: int = 0,
        sock: socket.socket | None = None,
    ) -> None:
        super().__init__({"peername": ("192.0.2.1", 50000), "socket": sock or socket.socket()})
        self.calls: list[tuple[str, float]] = []
        self.written = b""
        self.buffered = buffered
        self.protocol: asyncio.BaseProtocol = asyncio.Protocol()
        self._can_write_eof = can_write_eof
        self._extra: dict[str, Any]

    def __del__(self) -> None:
        self.get_extra_info("socket").close()

    def _called(self, name: str) -> None:
        self.calls.append((name, elapsed()))

    def close(self) -> None:
        self._called("close")

    def write_eof(self) -> None:
        self._called("write_eof")

    def abort(self) -> None:
        self._called("abort")

    def pause_reading(self) -> None:
        self._called("pause_reading")

    def resume_reading(self) -> None:
        self._called("resume_reading")

    def write(self, data: Any) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return self._can_write_eof

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol


def bounded(
    transport: FakeTransport, on_closing: Callable[[], None] = lambda: None
) -> BoundedTransport:
    one = BoundedTransport(transport, fake_loop(), on_closing, lambda: None)
    one.close_timeout = 3
    return one


CLOSE = [BoundedTransport.close, BoundedTransport.write_eof, BoundedTransport.linger]


class TestClose:
    @in_no_time
    async def test_when_everything_is_acknowledged(self) -> None:
        transport = FakeTransport()
        bounded(transport).close()
        assert transport.calls == [("resume_reading", 0), ("close", 0)]

    @in_no_time
    async def test_half_close_of_a_peer_that_has_sent_everything(self) -> None:
        transport = FakeTransport()
        bounded(transport).write_eof()
        assert transport.calls == [("resume_reading", 0), ("write_eof", 0), ("close", 0)]

    @pytest.mark.parametrize("server_closes", [False, True])
    @in_no_time
    async def test_half_close_reads_on_while_the_peer_sends(
        self, pair: tuple[socket.socket, socket.socket], server_closes: bool
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
            assert len(transport.calls) == 4

    @in_no_time
    async def test_half_close_of_what_lingers_changes_nothing(self) -> None:
        transport = FakeTransport()
        one = bounded(transport)
        one.linger()
        one.write_eof()
        one.close()
        await asyncio.sleep(2)
        assert transport.calls == [("resume_reading", 0), ("write_eof", 0)]

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

    @in_no_time
    async def test_but_not_if_it_is_gone_by_then(self) -> None:
        for can_write_eof in True, False:
            transport = FakeTransport(can_write_eof=can_write_eof, buffered=1)
            one = bounded(transport)
            one.close()
            calls = transport.calls.copy()
            transport.protocol.resume_writing()
            one.lost()
            await ticks()
            assert transport.calls == calls

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
    async def test_nor_while_what_the_peer_sent_is_unread(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        near, far = pair
        far.send(b"unread")
        assert unread(near) == len(b"unread")
        transport = FakeTransport(sock=near)
        bounded(transport).linger()
        assert transport.calls == [("resume_reading", 0)]
        await asyncio.sleep(2 * FIRST_LOOK)
        assert [call for call, _ in transport.calls[1:]] == ["write_eof"]

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
    async def test_tls_has_no_half_close(self) -> None:
        for close in BoundedTransport.close, BoundedTransport.linger:
            transport = FakeTransport(can_write_eof=False, buffered=1)
            one = bounded(transport)
            close(one)
            assert transport.calls == [("resume_reading", elapsed()), ("close", elapsed())]
            await asyncio.sleep(2)
            assert len(transport.calls) == 2
            one.lost()

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
    async def test_shutdown_of_the_server_while_the_connection_is_open(self) -> None:
        transport = FakeTransport()
        assert bounded(transport).hurry() is False
        assert transport.calls == []

    @in_no_time
    async def test_peer_that_is_gone_when_the_sending_side_is_shut_down(self) -> None:
        class Gone(FakeTransport):
            def write_eof(self) -> None:
                raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        transport = Gone()
        bounded(transport).linger()
        assert transport.calls == [("resume_reading", 0), ("close", 0)]

    @in_no_time
    async def test_nobody_waits_to_write_any_more(self) -> None:
        for close in BoundedTransport.close, BoundedTransport.eof_received, BoundedTransport.lost:
            ended = asyncio.Event()
            transport = FakeTransport(buffered=1)
            close(BoundedTransport(transport, fake_loop(), lambda: None, ended.set))
            assert ended.is_set()

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


class TestReadingOnHold:
    @in_no_time
    async def test_nobody_resumes_it(self) -> None:
        transport = FakeTransport()
        one = bounded(transport)
        one.hold_reading()
        one.resume_reading()
        one.pause_reading()
        assert [call for call, _ in transport.calls] == ["pause_reading"]
        one.release_reading()
        one.resume_reading()
        one.pause_reading()
        assert [call for call, _ in transport.calls][1:] == ["resume_reading", "pause_reading"]

    @in_no_time
    async def test_of_a_connection_that_is_closing(self) -> None:
        """What the peer still sends is read, and discarded, whoever wants to pause that."""
        transport = FakeTransport()
        one = bounded(transport)
        one.linger()
        calls = transport.calls.copy()
        one.hold_reading()
        one.release_reading()
        one.pause_reading()
        assert transport.calls == calls


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


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    with near, far:
        yield near, far


def fill(sock: socket.socket) -> int:
    """Send until the kernel takes no more; return how many bytes it took."""
    sock.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += sock.send(bytes(65536))
    return sent


def drain(sock: socket.socket) -> None:
    """Receive until the peer's end of file."""
    while sock.recv(65536):
        pass


class TestWhatTheKernelHolds:
    def test_nothing(self, pair: tuple[socket.socket, socket.socket]) -> None:
        assert unacknowledged(pair[0]) == 0

    def test_what_the_peer_has_no_room_for(self, pair: tuple[socket.socket, socket.socket]) -> None:
        near, _ = pair
        sent = fill(near)
        assert 0 < unacknowledged(near) < sent

    @in_no_time
    async def test_a_close_waits_for_it(self, pair: tuple[socket.socket, socket.socket]) -> None:
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
    async def test_tls_that_closes_its_descriptor(
        self, pair: tuple[socket.socket, socket.socket], reads: bool
    ) -> None:
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
    async def test_tls_that_has_closed_its_descriptor(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        near, far = pair
        near.close()
        one = bounded(FakeTransport(can_write_eof=False, sock=near))
        one.eof_received()
        one.lost()
        assert far.recv(1) == b""

    def test_peer_that_reset_the_connection(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        near, far = pair
        near.setblocking(False)
        try:
            while True:
                near.send(bytes(65536))
        except BlockingIOError:
            pass
        reset_on_close(far)
        far.close()
        assert unacknowledged(near) == 0
        with pytest.raises(ConnectionResetError):  # as the event loop may have seen before
            near.recv(1)
        assert unacknowledged(near) == 0

    def test_socket_that_is_closed(self, pair: tuple[socket.socket, socket.socket]) -> None:
        near, _ = pair
        near.close()
        assert unacknowledged(near) == 0
        assert traffic(near) == (None, None)
        assert duplicate(near) is None
        reset_on_close(near)

    def test_socket_of_uvloop_that_is_closed(self) -> None:
        """It says so with another exception than a socket does."""
        uvloop = pytest.importorskip("uvloop")

        async def closed() -> None:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                transport, _ = await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol, *listening.getsockname()
                )
            sock = transport.get_extra_info("socket")
            transport.abort()
            await asyncio.sleep(0)
            assert sock.fileno() == -1
            assert unacknowledged(sock) == 0
            assert traffic(sock) == (None, None)
            assert duplicate(sock) is None
            reset_on_close(sock)

        uvloop.run(closed())

    def test_socket_that_is_not_tcp(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            assert unacknowledged(near) == 0
            reset_on_close(near)

    def test_file_that_is_no_socket_to_the_kernel(self) -> None:
        """Some event loops give out objects that only look like one."""

        class Odd(socket.socket):
            def getsockopt(self, *args: Any) -> Any:
                return b"\1"

            def fileno(self) -> int:
                return -1

        with Odd() as odd:
            assert unacknowledged(odd) == 0

    def test_others_than_linux_cannot_tell(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        unlooked_at: Any = object()
        assert unacknowledged(unlooked_at) == 0

    def test_event_loop_that_has_no_socket_any_more(self) -> None:
        """Over TLS, uvloop's says so before it tells the protocol that the connection is lost."""
        assert unacknowledged(None) == 0
        assert duplicate(None) is None
        reset_on_close(None)


HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

UVICORN = pytest.mark.parametrize(
    ("original", "module"),
    [(WebSocketsSansIOProtocol, sansio), (WSProtocol, wsproto), (WebSocketProtocol, legacy)],
    ids=["sansio", "wsproto", "legacy"],
)


async def unused(*args: Any) -> Any:
    raise AssertionError("never called")


async def never_run(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("never called")


class Bare:
    """A transport that can do only what uvicorn itself needs, or its tests."""

    def __init__(self) -> None:
        transport = FakeTransport()
        for name in "write", "close", "is_closing", "pause_reading", "resume_reading":
            setattr(self, name, getattr(transport, name))
        self.get_extra_info = transport.get_extra_info
        self.set_write_buffer_limits = transport.set_write_buffer_limits


def connected(cls: Any, app: Any = never_run, *, to: Any = None) -> tuple[Any, Any]:
    """Return a protocol of uvicorn's as its HTTP protocol leaves it, and its transport."""
    config = Config(app, log_config=None, lifespan="off")
    config.load()
    protocol = cls(config=config, server_state=ServerState(), app_state={})
    transport = to or FakeTransport()
    transport.protocol = protocol
    protocol.connection_made(transport)
    return protocol, transport


@UVICORN
class TestAttach:
    @in_no_time
    async def test_to_one_of_uvicorns_own(self, original: Any, module: Any) -> None:
        protocol, _ = connected(original)
        assert attach(protocol, unused, unused) is not None
        assert type(protocol) is module.KeepaliveProtocol

    @in_no_time
    async def test_a_second_time(self, original: Any, module: Any) -> None:
        protocol, _ = connected(original)
        attach(protocol, unused, unused)
        extension = protocol.extension
        assert attach(protocol, unused, unused) is not None
        assert protocol.extension is extension

    @in_no_time
    async def test_every_attribute_counts(
        self, original: Any, module: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        protocol, transport = connected(original)
        cls = module.KeepaliveProtocol
        assert "transport" in cls.touched
        monkeypatch.setattr(cls, "touched", (*cls.touched, "renamed"))
        assert attach(protocol, unused, unused) is None
        assert type(protocol) is original
        assert protocol.transport is transport
        protocol.renamed = None
        assert attach(protocol, unused, unused) is not None

    @pytest.mark.parametrize("way", ["arguments", "awaited"])
    @in_no_time
    async def test_declines_if_a_method_is_called_in_another_way(
        self, original: Any, module: Any, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def awaited(self: Any) -> None:
            raise AssertionError("never called")

        def arguments(self: Any, now: float) -> None:
            raise AssertionError("never called")

        def wrapper(*args: Any, **kwargs: Any) -> None:
            raise AssertionError("never called")

        monkeypatch.setattr(original, "eof_received", wrapper)  # as instrumentation may do
        monkeypatch.setattr(original, "shutdown", {"arguments": arguments, "awaited": awaited}[way])
        protocol, _ = connected(original)
        shared._changed.cache_clear()
        try:
            assert shared.extend(protocol, module.KeepaliveProtocol) == ["shutdown"]
            assert attach(protocol, unused, unused) is None
        finally:
            shared._changed.cache_clear()

    @pytest.mark.parametrize("explicit", [False, True])
    @in_no_time
    async def test_declines_a_transport_that_lacks_a_method(
        self, original: Any, module: Any, explicit: bool
    ) -> None:
        """As uvicorn's own tests have one."""
        transport = Bare()
        protocol, _ = connected(module.KeepaliveProtocol if explicit else original, to=transport)
        assert attach(protocol, unused, unused) is None
        assert type(protocol) is original
        assert protocol.transport is transport

    @in_no_time
    async def test_declines_a_transport_that_only_inherits_a_method(
        self, original: Any, module: Any
    ) -> None:
        class Mock(FakeTransport):
            abort = asyncio.Transport.abort

        protocol, _ = connected(original, to=Mock())
        assert shared.extend(protocol, module.KeepaliveProtocol) == ["transport.abort"]

    @in_no_time
    async def test_declines_what_is_no_event_loop(self, original: Any, module: Any) -> None:
        protocol, _ = connected(original)
        protocol.loop = object()
        assert shared.extend(protocol, module.KeepaliveProtocol) == ["loop"]

    @in_no_time
    async def test_explicitly_what_does_not_fit_works_as_its_base(
        self,
        original: Any,
        module: Any,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def echo(scope: Any, receive: Any, send: Any) -> None:
            extensions.append(list(scope["extensions"]))
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": (await receive())["text"]})

        extensions: list[list[str]] = []
        cls = module.KeepaliveProtocol
        monkeypatch.setattr(cls, "touched", (*cls.touched, "renamed"))
        for _ in range(2):
            protocol, transport = connected(cls, echo)
            protocol.data_received(HANDSHAKE)
            await ticks(20)
            before = len(transport.written)
            protocol.data_received(frame(TEXT, b"hello"))
            await ticks(20)
            assert transport.written[before:].startswith(b"\x81\x05hello")
            assert type(protocol) is original
            protocol.connection_lost(None)
            await ticks(20)
        assert extensions == [["websocket.http.response"]] * 2
        [warning] = caplog.messages
        assert f"--ws {module.__name__}:KeepaliveProtocol works as uvicorn's own class" in warning
        assert f"uvicorn {uvicorn.__version__} is not as" in warning
        assert "(renamed)" in warning

    @in_no_time
    async def test_declines_a_subclass(self, original: Any, module: Any) -> None:
        """It may have changed what the module rests on."""
        mine = type("Mine", (original,), {})
        protocol, _ = connected(mine)
        assert attach(protocol, unused, unused) is None
        assert type(protocol) is mine

    @in_no_time
    async def test_declines_what_it_cannot_import(
        self, original: Any, module: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A version of uvicorn, or of the library beneath it, that has moved things."""
        protocol, _ = connected(original)
        monkeypatch.setitem(sys.modules, module.__name__, None)
        _module.cache_clear()
        try:
            assert attach(protocol, unused, unused) is None
        finally:
            _module.cache_clear()

    @in_no_time
    async def test_explicitly_through_whatever_hides_the_server(
        self, original: Any, module: Any
    ) -> None:
        """`--ws asgi_keepalive.servers.uvicorn.sansio:KeepaliveProtocol`."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            latencies.append(await get_keepalive(scope).ping())

        async def wrapper(scope: Any, receive: Any, send: Any) -> None:
            extensions.append(list(scope["extensions"]))
            await middleware(scope, lambda: receive(), lambda event: send(event))

        latencies: list[float] = []
        extensions: list[list[str]] = []
        middleware = KeepaliveMiddleware(app, ping_interval=None)
        protocol, transport = connected(module.KeepaliveProtocol, wrapper)
        protocol.data_received(HANDSHAKE)
        await ticks(20)
        head, _, ping = transport.written.partition(b"\r\n\r\n")
        assert b" 101 " in head
        assert "websocket.ping" in extensions[0]
        assert ping[:2] == bytes([0x80 | PING, 4])
        await asyncio.sleep(1.5)
        protocol.data_received(frame(PONG, ping[2:]))
        await ticks(20)
        assert latencies == [1.5]
        protocol.connection_lost(None)
        await ticks(20)

    @in_no_time
    async def test_explicitly_but_without_the_middleware(self, original: Any, module: Any) -> None:
        """Nothing asks for anything then, so uvicorn does what it always does."""

        async def echo(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            while (event := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": event["text"]})
            codes.append(event["code"])

        codes: list[int] = []
        protocol, transport = connected(module.KeepaliveProtocol, echo)
        protocol.data_received(HANDSHAKE)
        await ticks(20)
        before = len(transport.written)
        protocol.data_received(frame(PONG, b"unsolicited") + frame(TEXT, b"hello"))
        await ticks(20)
        assert transport.written[before:] == b"\x81\x05hello"
        assert protocol.ping_interval == 20
        protocol.connection_lost(None)
        await ticks(20)
        assert codes in ([1005], [1006])


@in_no_time
async def test_a_subclass_of_the_extended_protocol_declares_the_extension_itself() -> None:
    mine = type("Mine", (sansio.KeepaliveProtocol,), {})
    protocol, _ = connected(mine)
    scope: Any = {"extensions": {"websocket.ping": {}}}
    assert attach(protocol, unused, unused) is None
    server = extend(scope, protocol.receive, protocol.send)
    assert not isinstance(server, str)
    assert (server.receive, server.send) == (protocol.receive, protocol.send)


@in_no_time
async def test_close_that_comes_with_a_ping_is_answered_though_its_pong_must_wait() -> None:
    protocol, transport = connected(sansio.KeepaliveProtocol)
    protocol.pause_writing()
    protocol.conn.state = State.OPEN
    # As the library answers a Ping and a Close that came in one read.
    protocol.conn.send_pong(b"ping")
    protocol.conn.send_close(1000)
    protocol.handle_ping()
    assert transport.written == b"\x88\x02\x03\xe8"
