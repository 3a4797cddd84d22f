"""What the kernel holds for peers that read nothing while the application streams to them."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

from tests.support.client import upgrade

from .reading import BOUNDED, MESSAGE, Server

PEERS = {True: 1000, False: 100}
"""How many, with the bound and without; without it 1,000 would take all that TCP may have."""

RECEIVE_BUFFER = 4096
"""Bytes that each peer's own kernel takes."""

LOOK = 0.5
"""Seconds from one look to the next, until nothing changes any more."""


def frozen(loop: str) -> dict[str, float]:
    """Return how many bytes the kernel holds for each peer."""
    return {name: _held(loop, bounded) / PEERS[bounded] for name, bounded in BOUNDED.items()}


def _held(loop: str, bounded: bool) -> int:
    with ExitStack() as stack:
        server = stack.enter_context(Server(loop, "127.0.0.1", bounded))
        for _ in range(PEERS[bounded]):
            peer = stack.enter_context(socket.socket())
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            peer.connect((server.address, server.port))
            peer.sendall(upgrade(f"/frozen/{MESSAGE}"))
        before, held = -1, 0
        while held != before:
            time.sleep(LOOK)
            before, (_, held) = held, server.report()
        return held
