"""How many Pings fall together, and how often an idle process wakes up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from .measure import CLIENTS, MIDDLEWARE, SETTLE, Entry, Load, contest

CONNECTIONS = 2000
INTERVAL = 5.0
"""Seconds from one Ping to the next, where it is counted how many fall together."""

EVENTS = {
    "mass connect": "",
    "stall": "stall",
    "collection of garbage": "collect",
}
"""What brings connections into step, and what tells the server to do it."""


def busiest(name: str, loop: str) -> Iterator[tuple[str, float]]:
    """Yield for each event the Pings in the busiest 50 ms over the mean.

    It is counted where they arrive, from the second interval after the event on.
    """
    with contest([Load(name, CONNECTIONS, INTERVAL)], loop) as entries:
        [(server, crowd)] = entries.values()
        crowd.call("connect", server.port, CONNECTIONS)
        for event, order in EVENTS.items():
            if order:
                server.tell(order)
            time.sleep(SETTLE + INTERVAL)
            most, count, window = crowd.call("count_together", INTERVAL)
            yield event, most / (count * window / INTERVAL)


def wake_ups(loop: str, interval: float = 20) -> float:
    """Return how often a second the keepalive of idle connections wakes up the server's process."""
    loads = [Load(MIDDLEWARE, CLIENTS, interval), Load("no keepalive, sansio", CLIENTS, interval)]
    with contest(loads, loop) as entries:
        for entry in entries.values():
            entry.connect(CLIENTS)
        time.sleep(SETTLE)
        before = list(map(_switches, entries.values()))
        time.sleep(interval)
        mine, base = (_switches(e) - b for e, b in zip(entries.values(), before, strict=True))
        return max(0, mine - base) / interval


def _switches(entry: Entry) -> int:
    """Return how often the server's process has waited so far (see proc(5))."""
    status = Path(f"/proc/{entry.server.pid}/status").read_text().splitlines()
    [line] = [line for line in status if line.startswith("voluntary_ctxt_switches:")]
    return int(line.split()[1])
