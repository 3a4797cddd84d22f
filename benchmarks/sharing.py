"""What it costs to show the connections of all processes: `SharedConnections`, and its Redis."""

from __future__ import annotations

import asyncio
import os
import time
import timeit
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from statistics import fmean, median
from typing import Any, NamedTuple

from asgi_keepalive import Keepalive
from asgi_keepalive.observers.live import LiveConnection, LiveConnections
from asgi_keepalive.observers.shared import SharedConnections
from asgi_keepalive.scopes import with_keepalive
from asgi_keepalive.settings import Settings
from tests.support.redis import RedisServer, redis_server

from .contenders import REDIS
from .links import Unavailable
from .measure import MIDDLEWARE, SETTLE, Entry, Load, entered
from .rows import Row

LIVE, SHARED = "LiveConnections", "SharedConnections"

PROCESSES = 4
"""So many share their connections. One more has `LiveConnections`, and one no observer."""

CONNECTIONS = 2500
"""Of each process."""

INTERVALS = {20.0: 20.0, 5.0: 10.0}
"""The seconds of a round, by `ping_interval`."""

ROUNDS = 3

WATCH = 5.0
"""Seconds for which is looked how late the event loops are."""

CALLS = 100_000
"""Of an observer."""


class Told(NamedTuple):
    """What Redis tells of itself: so far, or in a second.

    Attributes:
        cpu: CPU seconds.
        commands: So many have been processed.
        received: Bytes.
        sent: Bytes.
    """

    cpu: float
    commands: float
    received: float
    sent: float


class Sharing(NamedTuple):
    """What was measured.

    Attributes:
        share: CPU seconds a second of a process, by contender.
        turn: How late its event loop was at worst by its own work, in seconds.
        refill: The same while a Redis that is empty is told everything.
        redis: What Redis does in a second, for all processes.
        memory: The memory of Redis, in bytes a connection.
    """

    share: dict[str, float]
    turn: dict[str, float]
    refill: dict[str, float]
    redis: Told
    memory: float


def sharing(loop: str, interval: float) -> Sharing:
    """Measure processes with idle connections, of which most share theirs."""
    with redis_server() as server, _entries(server, loop, interval) as entries:
        empty = server.ask("INFO")["used_memory"]
        for _, entry in entries:
            entry.connect(CONNECTIONS)
        time.sleep(2 * SETTLE + interval)
        rounds = [_round(server, entries, INTERVALS[interval]) for _ in range(ROUNDS)]
        memory = server.ask("INFO")["used_memory"] - empty
        turn = _watch(entries)
        server.kill()
        server.start()
        refill = _watch(entries)
        shares, told = zip(*rounds, strict=True)
        return Sharing(
            {name: median(share[name] for share in shares) for name in shares[0]},
            turn,
            refill,
            Told(*map(median, zip(*told, strict=True))),
            memory / (PROCESSES * CONNECTIONS),
        )


@contextmanager
def _entries(server: RedisServer, loop: str, interval: float) -> Iterator[list[tuple[str, Entry]]]:
    os.environ[REDIS] = server.url
    names = [SHARED] * PROCESSES + [LIVE, MIDDLEWARE]
    with entered([Load(name, CONNECTIONS, interval) for name in names], loop) as entries:
        yield list(zip(names, entries, strict=True))


def _round(
    server: RedisServer, entries: list[tuple[str, Entry]], seconds: float
) -> tuple[dict[str, float], Told]:
    before, told_before = _cpu(entries), _told(server)
    began = time.monotonic()
    time.sleep(seconds)
    after, told = _cpu(entries), _told(server)
    seconds = time.monotonic() - began
    used = [(b - a) / seconds for a, b in zip(before, after, strict=True)]
    redis = [(b - a) / seconds for a, b in zip(told_before, told, strict=True)]
    return _by_name(entries, used), Told(*redis)


def _cpu(entries: list[tuple[str, Entry]]) -> list[float]:
    return [entry.server.cpu() for _, entry in entries]


def _by_name(entries: list[tuple[str, Entry]], figures: list[float]) -> dict[str, float]:
    """Return the means of figures that belong to these processes, by contender."""
    named = [(name, figure) for (name, _), figure in zip(entries, figures, strict=True)]
    return {name: fmean(figure for other, figure in named if other == name) for name, _ in named}


def _told(server: RedisServer) -> Told:
    info = server.ask("INFO")
    return Told(
        info["used_cpu_user"] + info["used_cpu_sys"],
        info["total_commands_processed"],
        info["total_net_input_bytes"],
        info["total_net_output_bytes"],
    )


def _watch(entries: list[tuple[str, Entry]]) -> dict[str, float]:
    for _, entry in entries:
        entry.server.tell("watch")
    time.sleep(WATCH)
    return _by_name(entries, [entry.server.report()["turn"] for _, entry in entries])


def calls() -> dict[str, float]:
    """Return the seconds that both kinds of observers take for a Ping and its Pong."""
    return asyncio.run(_calls())


async def _calls() -> dict[str, float]:
    found = {}
    for name, observers in (LIVE, LiveConnections()), (SHARED, SharedConnections("redis://")):
        scope: dict[str, Any] = {"type": "websocket", "path": "/", "client": ["192.0.2.1", 1]}
        one: LiveConnection = observers(with_keepalive(scope, Keepalive(Settings())))
        one.opened()

        def cycle(one: LiveConnection = one) -> None:
            one.pinged()
            one.ponged(0.01)

        found[name] = (
            min(timeit.repeat(cycle, timer=time.thread_time, number=CALLS, repeat=ROUNDS)) / CALLS
        )
    return found


def rows(loop: str, launches: int) -> Iterable[Row]:
    """10,000 idle connections of four processes in one view."""
    for name, seconds in calls().items():
        yield Row("observing a cycle", loop, name, seconds * 1e9, "ns")
    for interval in INTERVALS:
        try:
            found = sharing(loop, interval)
        except Unavailable as reason:
            print(f"shared: left out, as {reason}")
            return
        yield from _rows(found, f"shared, {interval:g} s", loop)


def _rows(found: Sharing, measured: str, loop: str) -> Iterable[Row]:
    for name, share in found.share.items():
        yield Row(f"{measured}: share of a core", loop, name, share * 100, "%")
    for what, turns in ("stall", found.turn), ("stall, refill", found.refill):
        for name, seconds in turns.items():
            yield Row(f"{measured}: {what}", loop, name, seconds * 1e3, "ms")
    for what, figure, unit in (
        ("share of a core", found.redis.cpu * 100, "%"),
        ("commands", found.redis.commands, "1/s"),
        ("received", found.redis.received / 1024, "KiB/s"),
        ("sent", found.redis.sent / 1024, "KiB/s"),
        ("memory", found.memory, "B"),
    ):
        yield Row(f"{measured}: {what}", loop, "Redis", figure, unit)
