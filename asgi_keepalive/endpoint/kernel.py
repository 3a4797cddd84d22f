"""Asking the kernel about a TCP connection, and how to end it."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from array import array
from typing import NamedTuple

from ..extension import Traffic

if sys.platform == "linux":
    import fcntl
    import termios

GONE = OSError, ValueError
"""A socket that is closed raises these when it is used; uvloop's has a negative descriptor."""

TCP_CLOSE = 7
"""The state of a connection of which nothing is left, for Linux (`linux/tcp_states.h`)."""


def unacknowledged(sock: socket.socket | None) -> int:
    """Return how many written bytes the peer may yet acknowledge, 0 where that is unknown."""
    if sys.platform != "linux" or sock is None:
        return 0
    size = _queued(sock, termios.TIOCOUTQ)
    if size:
        with contextlib.suppress(*GONE):  # it is not TCP, or is closed already
            [state] = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
            if state == TCP_CLOSE:
                return 0  # the peer has reset it; the size is what it was before that
    return size


def unread(sock: socket.socket | None) -> int:
    """Return how many bytes have come that have not been read, 0 where that is unknown."""
    if sys.platform != "linux" or sock is None:
        return 0
    return _queued(sock, termios.FIONREAD)


def _queued(sock: socket.socket, request: int) -> int:
    size = array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), request, size)
    except GONE:
        return 0
    return size[0]


TCP_INFO = struct.Struct("=16x I 8x I 20x I 64x Q Q 8x I")
"""The part that `traffic` reads, for Linux since 4.6 (`struct tcp_info` of `linux/tcp.h`)."""


def tells(sock: socket.socket | None) -> bool:
    """Whether the kernel tells of the traffic; this is no system call."""
    if sys.platform != "linux" or sock is None:
        return False
    return sock.family in (socket.AF_INET, socket.AF_INET6)


def traffic(sock: socket.socket | None) -> Traffic:
    """Return how things stand with the peer, as far as the kernel tells.

    What is `unsent` has not been sent even once: the peer, or the network, has no room for it.
    """
    if not tells(sock):
        return {}
    assert sock is not None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
        mss, sacked, quiet, acknowledged, received, unsent = TCP_INFO.unpack(info)
    except (*GONE, struct.error):  # or it is not TCP, or this is an older Linux
        return {}
    unacknowledged = _queued(sock, termios.TIOCOUTQ)
    # Behind a segment that was lost the peer acknowledges the others one by one (RFC 2018).
    sacked = min(sacked * mss, unacknowledged)
    return {
        "unsent": unsent,
        "quiet": quiet / 1000,
        "acknowledged": acknowledged + sacked,
        "unacknowledged": unacknowledged - sacked,
        "received": received,
    }


class Transferred(NamedTuple):
    """The bytes that have passed on a connection.

    Attributes:
        acknowledged: So many bytes have come to the peer, which its process need not have read.
        received: So many have come from it, read or unread.
    """

    acknowledged: int
    received: int


def transferred(sock: socket.socket | None) -> Transferred | None:
    """Return how many bytes have passed in all, `None` where that is unknown."""
    told = traffic(sock)
    acknowledged, received = told.get("acknowledged"), told.get("received")
    if acknowledged is None or received is None:
        return None
    return Transferred(acknowledged, received)


NOTSENT_LOWAT = {"linux": 25, "darwin": 0x201}
"""The number of `TCP_NOTSENT_LOWAT`, by the platform; Python does not name it on each."""

UNSENT = 32 * 1024
"""So many bytes may wait in the kernel before it takes no more; see `docs/performance.md`."""


def bound_unsent(sock: socket.socket | None) -> None:
    """Let the kernel take little ahead of what it can send, where it knows how to."""
    option = NOTSENT_LOWAT.get(sys.platform)
    if option is None or sock is None:
        return
    with contextlib.suppress(*GONE):  # or it is not TCP, or this is an older system
        sock.setsockopt(socket.IPPROTO_TCP, option, UNSENT)


def duplicate(sock: socket.socket | None) -> socket.socket | None:
    """Return another descriptor of the same connection; the last one closed closes it."""
    if sock is None:
        return None
    try:
        return sock.dup()
    except GONE:  # or there are too many descriptors
        return None


def reset_on_close(sock: socket.socket | None) -> None:
    """Let the kernel drop unsent data when the socket is closed, rather than keep trying."""
    if sock is None:
        return
    with contextlib.suppress(*GONE):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
