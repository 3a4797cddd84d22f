"""What happens when half of many clients fall silent at once."""

from __future__ import annotations

import time
from typing import NamedTuple

from .measure import SETTLE, Load, contest

QUIET = 5.0
"""Seconds of nothing but Pings and Pongs before an outage."""


class Outage(NamedTuple):
    """What happened when half of the clients fell silent at once. Times are in seconds.

    Attributes:
        share: CPU seconds a second, before the outage.
        stall: How late the server's event loop was at worst.
        unreported: How many silent connections the application was never told about.
        early: How early a timeout was at worst; 0 if none was.
        late: How late a timeout was at worst.
        lost: How many connections of clients that answered were closed.
        echo: The slowest echo on a living connection.
        clients_stall: How late the clients' event loop was; by so much may a timeout that was
            on time look early.
    """

    share: float
    stall: float
    unreported: int
    early: float
    late: float
    lost: int
    echo: float
    clients_stall: float


def outage(
    name: str, loop: str, connections: int, interval: float = 1, timeout: float = 2
) -> Outage:
    """Let every other connection fall silent."""
    with contest([Load(name, connections, interval)], loop, timeout) as entries:
        [entry] = entries.values()
        server, crowd = entry
        server.tell("fill")
        entry.connect(connections)
        time.sleep(SETTLE + 2 * interval)
        server.tell("watch")
        time.sleep(2 * interval)
        before = server.cpu()
        time.sleep(QUIET)
        share = (server.cpu() - before) / QUIET
        seen = crowd.call("fall_silent", interval + timeout + SETTLE)
        report = server.report()
    late = [
        report["ends"][name] - pinged_at - timeout
        for name, pinged_at in seen["pinged_at"].items()
        if name in report["ends"]
    ]
    return Outage(
        share=share,
        stall=report["stall"],
        unreported=connections // 2 - len(late),
        early=max(0.0, -min(late, default=0.0)),
        late=max(late, default=0.0),
        lost=seen["lost"],
        echo=seen["echo"],
        clients_stall=seen["stall"],
    )
