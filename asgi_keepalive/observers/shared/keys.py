"""The names of the keys in Redis.

All keys of a process expire, if it does not renew them. There is a set of all processes.
"""

from __future__ import annotations

from dataclasses import dataclass


class Keys:
    """The keys that all processes share.

    Args:
        prefix: They all begin with it.

    Attributes:
        processes: A set of the identities of processes.
        failures: A sorted set of the last failures, by when they happened.
        turn: It is set by the process that counts the connections of all, for about a second.
        total: The number that it counted.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.processes = f"{prefix}:processes"
        self.failures = f"{prefix}:failures"
        self.turn = f"{prefix}:turn"
        self.total = f"{prefix}:total"

    def of(self, process: str) -> ProcessKeys:
        """Return the keys of one process, by its identity."""
        begin = f"{self.prefix}:{process}"
        return ProcessKeys(
            f"{begin}:summary", f"{begin}:rows", f"{begin}:clients", f"{begin}:paths"
        )


@dataclass(frozen=True, slots=True)
class ProcessKeys:
    """The keys of one process.

    Attributes:
        summary: A string about the process itself.
        rows: A hash of its connections by their numbers.
        clients: A sorted set that finds the numbers of a client's connections.
        paths: A hash of how many connections there are, by path.
    """

    summary: str
    rows: str
    clients: str
    paths: str
