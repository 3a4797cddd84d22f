"""What the kernel knows of a connection."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
import time
from typing import Any

import pytest

from asgi_keepalive.endpoint import kernel
from asgi_keepalive.endpoint.kernel import (
    NOTSENT_LOWAT,
    UNSENT,
    bound_unsent,
    duplicate,
    reset_on_close,
    traffic,
    transferred,
    unacknowledged,
    unread,
)

from ..support.tcp import Pair, fill


class TestUnacknowledged:
    def test_nothing(self, pair: Pair) -> None:
        assert unacknowledged(pair[0]) == 0

    def test_what_the_peer_has_no_room_for(self, pair: Pair) -> None:
        near, _ = pair
        sent = fill(near)
        assert 0 < unacknowledged(near) < sent

    def test_peer_that_reset_the_connection(self, pair: Pair) -> None:
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


class TestUnread:
    def test_what_has_come(self, pair: Pair) -> None:
        near, far = pair
        assert unread(near) == 0
        far.send(b"unread")
        assert select.select([near], [], [], 10)[0]
        assert unread(near) == len(b"unread")
        near.recv(2)
        assert unread(near) == len(b"read")


class TestBoundUnsent:
    def test_the_kernel_takes_little_for_a_peer_that_reads_nothing(self, pair: Pair) -> None:
        near, far = pair
        bound_unsent(near)
        sent = fill(near)
        unsent = traffic(near)["unsent"]
        assert unsent is not None
        assert unsent <= UNSENT + 65536  # and the whole of what was written last
        assert sent - unsent <= far.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def test_option_that_this_system_does_not_know(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(NOTSENT_LOWAT, sys.platform, 9999)
        bound_unsent(pair[0])

    def test_system_that_is_not_known_to_have_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "win32")
        untouched: Any = object()
        bound_unsent(untouched)


class TestDuplicate:
    def test_holds_the_connection(self, pair: Pair) -> None:
        near, far = pair
        held = duplicate(near)
        assert held is not None
        near.close()
        with held:
            held.send(b"x")
            assert far.recv(1) == b"x"
        assert far.recv(1) == b""


class TestReset:
    def test_comes_with_the_close(self, pair: Pair) -> None:
        near, far = pair
        reset_on_close(near)
        near.send(b"x")
        assert far.recv(1) == b"x"
        near.close()
        with pytest.raises(ConnectionResetError):
            far.recv(1)


class TestTraffic:
    def test_idle(self, pair: Pair) -> None:
        near, far = pair
        far.send(b"x")
        time.sleep(0.1)
        told = traffic(near)  # though it has not been read
        assert (told["unsent"], told["received"]) == (0, 1)
        assert told["quiet"] is not None
        assert 0.08 < told["quiet"] < 1

    def test_peer_without_room(self, pair: Pair) -> None:
        near, _ = pair
        sent = fill(near)
        told = traffic(near)
        unsent, left = told["unsent"], told["unacknowledged"]
        assert unsent is not None
        assert left is not None
        assert 0 < unsent <= left < sent
        assert told["acknowledged"] == sent - left + 1  # the SYN of the one that connected

    @pytest.mark.parametrize(("queued", "sacked"), [(9_000, 3_000), (2_000, 2_000)])
    def test_what_is_acknowledged_behind_a_lost_segment(
        self, monkeypatch: pytest.MonkeyPatch, queued: int, sacked: int
    ) -> None:
        class Losing(socket.socket):
            def getsockopt(self, *args: Any) -> Any:
                numbers = dict.fromkeys(range(0, 148, 4), 0) | {16: 1_000, 28: 3, 120: 50_000}
                return b"".join(number.to_bytes(4, sys.byteorder) for number in numbers.values())

        monkeypatch.setattr(kernel, "_queued", lambda sock, request: queued)
        with Losing() as losing:
            told = traffic(losing)
        assert told["acknowledged"] == 50_000 + sacked
        assert told["unacknowledged"] == queued - sacked

    def test_older_linux(self) -> None:
        class Older(socket.socket):
            def getsockopt(self, *args: Any) -> Any:
                return bytes(104)

        with Older() as older:
            assert traffic(older) == {}
            assert transferred(older) is None


class TestTransferred:
    """Since the handshake."""

    def test_counts_what_has_come_read_or_unread(self, pair: Pair) -> None:
        near, far = pair
        far.send(b"read")
        assert near.recv(4) == b"read"
        far.send(b"unread")
        assert select.select([near], [], [], 10)[0]
        counted = transferred(near)
        assert counted is not None
        assert counted.received == len(b"readunread")

    def test_counts_what_has_come_to_the_peer(self, pair: Pair) -> None:
        near, _ = pair
        before = transferred(near)
        sent = fill(near)
        after = transferred(near)
        assert before is not None
        assert after is not None
        assert after.acknowledged - before.acknowledged == sent - unacknowledged(near) > 0


class TestSocketsThatTellNothing:
    def test_socket_that_is_closed(self, pair: Pair) -> None:
        near, _ = pair
        near.close()
        assert unacknowledged(near) == 0
        assert traffic(near) == {}
        assert transferred(near) is None
        assert duplicate(near) is None
        bound_unsent(near)
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
            assert traffic(sock) == {}
            assert transferred(sock) is None
            assert duplicate(sock) is None
            bound_unsent(sock)
            reset_on_close(sock)

        uvloop.run(closed())

    def test_socket_that_is_not_tcp(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            assert unacknowledged(near) == 0
            assert traffic(near) == {}
            assert transferred(near) is None
            bound_unsent(near)
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
        assert unacknowledged(unlooked_at) == unread(unlooked_at) == 0
        assert traffic(unlooked_at) == {}
        assert transferred(unlooked_at) is None

    def test_event_loop_that_has_no_socket_any_more(self) -> None:
        """Over TLS, uvloop's says so before it tells the protocol that the connection is lost."""
        assert unacknowledged(None) == unread(None) == 0
        assert traffic(None) == {}
        assert transferred(None) is None
        assert duplicate(None) is None
        bound_unsent(None)
        reset_on_close(None)
