"""Connections that are drained, and come back to the server's successor."""

from __future__ import annotations

import time
from collections.abc import Iterable
from statistics import median, quantiles
from typing import NamedTuple

from .measure import MIDDLEWARE, SETTLE, Crowd, Server
from .rows import Row

CONNECTIONS = 5000

ROUNDS = 3

BEFORE = 0.5
"""Seconds for which the successor is probed before anybody comes."""


class Case(NamedTuple):
    """How a server is drained.

    Attributes:
        window: Over how many seconds.
        waits: Whether the pages wait for `reconnectAfter` before they come back.
    """

    window: float
    waits: bool = False

    def __str__(self) -> str:
        if self.waits:
            return f"{self.window:g} s, reconnectAfter"
        return f"over {self.window:g} s" if self.window else "at once"


CASES = Case(0), Case(10), Case(10, waits=True)


class Drained(NamedTuple):
    """What happened. Times are in seconds.

    Attributes:
        busiest: How many began to come back in the busiest 100 ms.
        all_back: From the first that came back until all were.
        failed: How many handshakes failed.
        long: How many took longer than a second.
        median: The median time of an echo of the successor meanwhile.
        percentile: 99 % took at most so long.
        worst: The slowest.
        successor: How late the successor's event loop was at worst by its own work.
        stall: The same of the server that was drained.
    """

    busiest: float
    all_back: float
    failed: float
    long: float
    median: float
    percentile: float
    worst: float
    successor: float
    stall: float


def drained(case: Case, loop: str) -> Drained:
    """Return the medians of some rounds."""
    rounds = [_round(case, loop) for _ in range(ROUNDS)]
    return Drained(*map(median, zip(*rounds, strict=True)))


def _round(case: Case, loop: str) -> Drained:
    with (
        Server(MIDDLEWARE, loop, 20, 20, core=1) as server,
        # The successor has a core of its own, as it would have a host of its own.
        Server(MIDDLEWARE, loop, 20, 20) as successor,
        Crowd("benchmarks.pages") as pages,
        Crowd("benchmarks.pages") as probe,
    ):
        server.tell("fill")
        successor.tell("watch")
        pages.call("open", server.port, CONNECTIONS)
        time.sleep(SETTLE)
        server.tell("watch")
        successor.tell("fill")
        probe.call("probe", successor.port)
        pages.call("prepare", successor.port, case.waits)
        time.sleep(BEFORE)
        server.tell(f"drain {case.window}")
        back = pages.call("all_back")
        time.sleep(BEFORE)
        began, ended = back["span"]
        echoes = [took for at, took in probe.call("probed") if began <= at <= ended]
        return Drained(
            back["busiest"],
            ended - began,
            back["failed"],
            back["long"],
            median(echoes),
            quantiles(echoes, n=100, method="inclusive")[-1],
            max(echoes),
            successor.report()["turn"],
            server.report()["turn"],
        )


def rows(loop: str, launches: int) -> Iterable[Row]:
    """5,000 connections that are drained, and come back to the server's successor."""
    for case in CASES:
        found = drained(case, loop)
        for what, count in (
            ("busiest 100 ms", found.busiest),
            ("handshakes failed", found.failed),
            ("handshakes above 1 s", found.long),
        ):
            yield Row(f"drain: {what}", loop, str(case), count, "")
        for what, seconds in (
            ("until all are back", found.all_back),
            ("echo, median", found.median),
            ("echo, 99 %", found.percentile),
            ("echo, worst", found.worst),
            ("successor's stall", found.successor),
            ("server's stall", found.stall),
        ):
            yield Row(f"drain: {what}", loop, str(case), seconds * 1e3, "ms")
