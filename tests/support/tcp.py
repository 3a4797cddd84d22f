"""TCP without a server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Pair = tuple[socket.socket, socket.socket]


@contextmanager
def connection() -> Iterator[Pair]:
    """Yield both ends of a TCP connection."""
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


def reserved() -> socket.socket:
    """Return a socket that keeps a free port for a program which is started later.

    Bound but not listening, it lets nobody else be given the port, and lets a program have it that
    asks for this one and allows for reuse (SO_REUSEADDR), as servers do.
    """
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


def notsent_lowat(port: int, peer_port: int) -> int:
    """Return what `TCP_NOTSENT_LOWAT` is at this process's end of a connection, 0 if unset."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError), _borrowed(int(entry.name)) as sock:
            if (sock.getsockname()[1], sock.getpeername()[1]) == (port, peer_port):
                return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
    raise LookupError(f"there is no connection from {peer_port} to {port}")


@contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """Yield a socket that another object has, too, and will close."""
    sock = socket.socket(fileno=descriptor)
    try:
        if sock.family != socket.AF_INET:
            raise OSError("not TCP")
        yield sock
    finally:
        sock.detach()
