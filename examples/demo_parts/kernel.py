"""What the kernel holds for a connection, where it tells (on Linux)."""

from __future__ import annotations

from pathlib import Path

PROC_NET_TCP = Path("/proc/net/tcp")
LINUX = PROC_NET_TCP.exists()


def held(server: int, client: int) -> int | None:
    """Return how many bytes wait at the server's end of a connection; `None` if that is gone.

    Args:
        server: The server's port.
        client: The client's port.
    """
    for line in PROC_NET_TCP.read_text().splitlines()[1:] if LINUX else ():
        _, local, remote, _, queues, *_ = line.split()
        if [int(end.rpartition(":")[2], 16) for end in (local, remote)] == [server, client]:
            return int(queues.partition(":")[0], 16)
    return None


def size(number: int | None) -> str:
    """Write a number of bytes."""
    if number is None:
        return "nothing"
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.0f} kB"
