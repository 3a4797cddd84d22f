"""What the kernel holds of a connection on the server's side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from .outcomes import Failed, NotSeen

TABLES = Path("/proc/net/tcp"), Path("/proc/net/tcp6")
TIME_WAIT, LISTEN = "06", "0A"


def sockets(server_port: int, peer_port: int) -> list[str]:
    """Return each socket of a connection in words, orphans included.

    Raises:
        NotSeen: This platform does not list them.
    """
    if not TABLES[0].exists():
        raise NotSeen(f"the kernel's sockets cannot be seen: there is no {TABLES[0]}")
    return [one for table in TABLES for one in _listed(table, server_port, peer_port)]


def _listed(table: Path, server_port: int, peer_port: int) -> Iterator[str]:
    for line in table.read_text().splitlines()[1:] if table.exists() else ():
        fields = line.split()
        ports = tuple(int(field.rpartition(":")[2], 16) for field in fields[1:3])
        if ports == (server_port, peer_port) and fields[3] not in {TIME_WAIT, LISTEN}:
            unsent = int(fields[4].partition(":")[0], 16)
            whose = "an orphaned" if fields[9] == "0" else "a"
            yield f"{whose} socket in state {fields[3]} with {unsent} unacknowledged bytes"


def freed(server_port: int, peer_port: int, timeout: float, late: float) -> float:
    """Wait until the kernel holds nothing of a connection; return how many seconds that took."""
    began = time.monotonic()
    time.sleep(timeout)  # to read the tables is slow where there are many sockets
    while held := sockets(server_port, peer_port):
        if time.monotonic() - began > timeout + late:
            raise Failed(f"{timeout + late:.1f} s later the kernel holds {held[0]}")
        time.sleep(0.05)
    return time.monotonic() - began
