"""`python -m benchmarks`: measure, and print one table.

The figures are CPU time and memory of the server's process, and ratios within the run: what
uvicorn's own keepalive costs with the same protocol and on the same event loop is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from . import draining, frozen, links, measure, outages, phases, sharing
from .measure import MIDDLEWARE, Load
from .rows import BASE, Row, compared, to_without

LOOPS = ("uvloop", "asyncio")

ECHO = {"uvloop": 0.80, "asyncio": 0.60}
"""What the ratio of an echo is to be at most, with sansio, by the event loop."""

CYCLE = {"uvloop": 0.85, "asyncio": 0.59}
"""What the ratio of a cycle of Ping and Pong is to be at most, by the event loop."""

ECHO_WSPROTO = 0.55
"""The same with wsproto."""

MEASURED_TOGETHER = (
    (MIDDLEWARE, "uvicorn, sansio", "no keepalive, sansio", "websockets", "picows"),
    ("middleware, wsproto", "uvicorn, wsproto"),
)


def echoes(loop: str, launches: int) -> Iterable[Row]:
    """An echoed message."""
    for size in 64, 16384:
        for names in MEASURED_TOGETHER:
            seconds = measure.echo(names, loop, size, launches)
            limit = ECHO[loop] if MIDDLEWARE in names else ECHO_WSPROTO
            yield from compared(f"echo of {size} B", loop, seconds, limit)


def deflated(loop: str, launches: int) -> Iterable[Row]:
    """An echoed message with permessage-deflate."""
    for names in (MIDDLEWARE, "uvicorn, sansio"), ("middleware, wsproto", "uvicorn, wsproto"):
        seconds = measure.echo(names, loop, 1024, launches, deflate=True)
        yield from compared("echo of 1024 B, deflated", loop, seconds, 1.0)


def cycles(loop: str, launches: int) -> Iterable[Row]:
    """A cycle of Ping and Pong, and memory, of idle connections."""
    for together in MEASURED_TOGETHER:
        names = [name for name in together if name != "no keepalive, sansio"]
        loads = [Load(name, connections=2000, interval=1) for name in names]
        found = measure.idle(loads, loop, launches)
        idle = {load.name: figures for load, figures in found.items()}
        seconds = {name: figures.cpu for name, figures in idle.items()}
        yield from compared("Ping and Pong, 2,000 idle", loop, seconds, CYCLE[loop])
        if MIDDLEWARE in seconds:
            own = {MIDDLEWARE: seconds[MIDDLEWARE]}
            yield from compared("the same to websockets'", loop, own, 1.0, seconds["websockets"])
        for name, figures in idle.items():
            more = figures.memory - idle[BASE[name]].memory
            yield Row("memory, idle", loop, name, figures.memory / 1024, "KiB")
            if name.startswith("middleware"):
                yield Row("memory above uvicorn's", loop, name, more / 1024, "KiB", limit=1.0)


def scale(loop: str, launches: int) -> Iterable[Row]:
    """9,000 connections, of which half fall silent at once."""
    for name in MIDDLEWARE, "uvicorn, sansio", "websockets":
        found = outages.outage(name, loop, connections=9000)
        limits = {"late": 0.02, "early": found.clients_stall, "echo": 0.02}
        if name != MIDDLEWARE:
            limits = {}
        yield Row("9,000: share of a core", loop, name, found.share * 100, "%")
        for what, seconds in (
            ("stall", found.stall),
            ("late", found.late),
            ("early", found.early),
            ("echo", found.echo),
            ("clients' own stall", found.clients_stall),
        ):
            limit = limits[what] * 1e3 if what in limits else None
            yield Row(f"9,000: {what}", loop, name, seconds * 1e3, "ms", limit=limit)
        for what, count in ("unreported", found.unreported), ("living closed", found.lost):
            limit = 0 if name == MIDDLEWARE else None
            yield Row(f"9,000: {what}", loop, name, count, "", limit=limit)


def crowd(loop: str, launches: int) -> Iterable[Row]:
    """How many Pings fall together, and how often idle connections wake up the process."""
    for name in MIDDLEWARE, "uvicorn, sansio":
        limit = 2.0 if name == MIDDLEWARE else None
        for event, times in phases.busiest(name, loop):
            yield Row(f"Pings, {event}", loop, name, times, "x mean", limit=limit)
    yield Row("wake-ups, idle", loop, MIDDLEWARE, phases.wake_ups(loop), "1/s", limit=1)


def growth(loop: str, launches: int) -> Iterable[Row]:
    """What a connection costs when there are more, at the same 2,000 Pings a second."""
    loads = [Load(MIDDLEWARE, count, interval=count / 2000) for count in (100, 1000, 9000)]
    found = measure.idle(loads, loop, launches)
    first = found[loads[0]].cpu
    for load, (memory, cpu) in found.items():
        ratios = [mine / other for mine, other in zip(cpu, first, strict=True)]
        low, _, high = quantiles(ratios, n=4)
        measured = f"cycle, {load.connections:,} idle"
        if load is loads[0]:
            yield Row(measured, loop, load.name, median(cpu) * 1e6, "us")
        else:
            yield Row(
                measured,
                loop,
                load.name,
                median(cpu) * 1e6,
                "us",
                median(ratios),
                (low, high),
                limit=1.10,
            )
        yield Row(f"memory, {load.connections:,} idle", loop, load.name, memory / 1024, "KiB")


def wire(loop: str, launches: int) -> Iterable[Row]:
    """What a cycle puts on the wire."""
    yield Row("wire, a cycle", loop, MIDDLEWARE, measure.wire(), "B")


def ahead(loop: str, launches: int) -> Iterable[Row]:
    """A Ping under a stream over slow links, and what the bound in front of it costs streams."""
    try:
        found = links.slow(loop)
        long_path = links.delayed(loop)
    except links.Unavailable as reason:
        print(f"links: left out, as {reason}")
        return
    for link, seconds in found.items():
        rounds = {name: [one] for name, one in seconds.items()}
        yield from to_without(f"Ping, {link}", loop, rounds, limit=0.5)
    yield from to_without("1 MB, 100 ms away", loop, long_path, limit=1.1)
    for size in 65536, 1048576:
        rounds = links.bulk(loop, size, 2 * launches)
        yield from to_without(f"CPU, 1 MB as {size // 1024} KiB", loop, rounds)


def held(loop: str, launches: int) -> Iterable[Row]:
    """What the kernel holds for peers that read nothing under a stream."""
    for name, size in frozen.frozen(loop).items():
        limit = 128 if name == MIDDLEWARE else None
        yield Row("kernel, a frozen peer", loop, name, size / 1024, "KiB", limit=limit)


def age(loop: str, launches: int) -> Iterable[Row]:
    """Idle connections whose end is planned, as they have a `max_age`."""
    loads = [Load(name, connections=2000, interval=1) for name in (MIDDLEWARE, measure.AGED)]
    found = measure.idle(loads, loop, launches)
    without, aged = (found[load] for load in loads)
    cycles = {load.name: found[load].cpu for load in loads}
    yield from compared("Ping and Pong, 2,000 idle", loop, cycles, to=without.cpu)
    yield Row("memory of max_age", loop, measure.AGED, aged.memory - without.memory, "B")


PARTS: dict[str, Callable[[str, int], Iterable[Row]]] = {
    "echo": echoes,
    "deflate": deflated,
    "idle": cycles,
    "scale": scale,
    "crowd": crowd,
    "growth": growth,
    "wire": wire,
    "links": ahead,
    "frozen": held,
    "age": age,
    "drain": draining.rows,
    "shared": sharing.rows,
}


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for; return 1 if something was to be checked and is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all unless given")
    parser.add_argument("--loop", choices=LOOPS, help="both unless given")
    parser.add_argument(
        "--launches", type=int, default=4, help="of each contender, an even number (default: 4)"
    )
    parser.add_argument("--json", type=Path, help="write the table there, too")
    parser.add_argument("--check", action="store_true", help="fail if a limit is missed")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    if options.launches < 2 or options.launches % 2:
        parser.error("--launches: an even number")
    rows: list[Row] = []
    for part in options.parts or PARTS:
        for loop in [options.loop] if options.loop else LOOPS:
            for row in PARTS[part](loop, options.launches):
                rows.append(row)
                print(row, flush=True)
    if options.json:
        table: list[dict[str, Any]] = [{**row._asdict(), "good": row.good} for row in rows]
        options.json.write_text(json.dumps(table, indent=1) + "\n")
    missed = [row for row in rows if not row.good]
    if options.check and missed:
        print(f"{len(missed)} of {sum(row.limit is not None for row in rows)} limits missed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
