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
from typing import Any, NamedTuple

from . import measure
from .measure import MIDDLEWARE

LOOPS = ("uvloop", "asyncio")

NOISE = 0.03
"""By how much a ratio may miss what it is to be."""

BASE = {
    MIDDLEWARE: "uvicorn, sansio",
    "uvicorn, sansio": "uvicorn, sansio",
    "no keepalive, sansio": "uvicorn, sansio",
    "websockets": "uvicorn, sansio",
    "picows": "uvicorn, sansio",
    "middleware, wsproto": "uvicorn, wsproto",
    "uvicorn, wsproto": "uvicorn, wsproto",
}
"""What each contender is compared with."""

MEASURED_TOGETHER = (
    (MIDDLEWARE, "uvicorn, sansio", "no keepalive, sansio", "websockets", "picows"),
    ("middleware, wsproto", "uvicorn, wsproto"),
)


class Row(NamedTuple):
    """One figure of one contender, as it is printed and written.

    Attributes:
        ratio: To what it is compared with, the median of all rounds; `None` if to nothing.
        spread: The ratio's quartiles.
        limit: What the ratio, or without one the figure, is to be at most; `None` if anything.
    """

    measured: str
    loop: str
    contender: str
    figure: float
    unit: str
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    limit: float | None = None

    @property
    def good(self) -> bool:
        """Whether the limit is kept."""
        if self.limit is None:
            return True
        if self.ratio is not None:
            return self.ratio <= self.limit + NOISE
        return self.figure <= self.limit

    def __str__(self) -> str:
        figure = f"{self.figure:.4g} {self.unit}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        spread = "" if self.spread is None else "{:.2f} to {:.2f}".format(*self.spread)
        limit = "" if self.limit is None else f"at most {self.limit:g}"
        verdict = "" if self.limit is None else "good" if self.good else "MISSED"
        return (
            f"{self.measured:27} {self.loop:8} {self.contender:21} {figure:>14} {ratio:>6} "
            f"{spread:>13}  {limit:13} {verdict}"
        )


def compared(
    measured: str, loop: str, rounds: dict[str, list[float]], limit: float
) -> Iterable[Row]:
    """Return a row of CPU time for each contender; the limit is this project's."""
    for name, seconds in rounds.items():
        base = rounds[BASE[name]]
        ratios = [mine / other for mine, other in zip(seconds, base, strict=True)]
        low, _, high = quantiles(ratios, n=4)
        yield Row(
            measured,
            loop,
            name,
            median(seconds) * 1e6,
            "us",
            None if name == BASE[name] else median(ratios),
            None if name == BASE[name] else (low, high),
            limit if name.startswith("middleware") else None,
        )


def echoes(loop: str, rounds: int) -> Iterable[Row]:
    """An echoed message."""
    limit = 1.0 if loop == "uvloop" else 0.75
    for size in 64, 16384:
        for names in MEASURED_TOGETHER:
            seconds = measure.echo(names, loop, size, rounds)
            yield from compared(f"echo of {size} B", loop, seconds, limit)


def cycles(loop: str, rounds: int) -> Iterable[Row]:
    """A cycle of Ping and Pong, and memory, of idle connections."""
    for together in MEASURED_TOGETHER:
        names = [name for name in together if name != "no keepalive, sansio"]
        idle = measure.idle(names, loop, connections=2000, interval=1, rounds=rounds // 4)
        seconds = {name: found.cpu for name, found in idle.items()}
        rows = list(compared("Ping and Pong, 2,000 idle", loop, seconds, 0.95))
        yield from rows
        if MIDDLEWARE in seconds and median(seconds[MIDDLEWARE]) > median(seconds["websockets"]):
            print("MISSED: a cycle of Ping and Pong costs more than that of websockets")
        for name, found in idle.items():
            own = name.startswith("middleware")
            more = found.memory - idle[BASE[name]].memory
            yield Row("memory, idle", loop, name, found.memory / 1024, "KiB")
            if own:
                yield Row("memory above uvicorn's", loop, name, more / 1024, "KiB", limit=1.0)


def scale(loop: str, rounds: int) -> Iterable[Row]:
    """9,000 connections, of which half fall silent at once."""
    for name in MIDDLEWARE, "uvicorn, sansio", "websockets":
        found = measure.outage(name, loop, connections=9000)
        limits = {"late": 0.05, "early": found.clients_stall, "echo": 0.02}
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


def growth(loop: str, rounds: int) -> Iterable[Row]:
    """What a connection costs when there are more, at the same 2,000 Pings a second."""
    for name in MIDDLEWARE, "uvicorn, sansio":
        first = 0.0
        for connections in 100, 1000, 9000:
            idle = measure.idle([name], loop, connections, connections / 2000, rounds // 4)
            seconds = median(idle[name].cpu)
            first = first or seconds
            limit = 1.10 if name == MIDDLEWARE and connections > 100 else None
            ratio = None if connections == 100 else seconds / first
            yield Row(
                f"cycle, {connections:,} idle", loop, name, seconds * 1e6, "us", ratio, None, limit
            )
            yield Row(f"memory, {connections:,} idle", loop, name, idle[name].memory / 1024, "KiB")


def wire(loop: str, rounds: int) -> Iterable[Row]:
    """What a cycle puts on the wire."""
    yield Row("wire, a cycle", loop, MIDDLEWARE, measure.wire(), "B")


PARTS: dict[str, Callable[[str, int], Iterable[Row]]] = {
    "echo": echoes,
    "idle": cycles,
    "scale": scale,
    "growth": growth,
    "wire": wire,
}


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for; return 1 if something was to be checked and is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all unless given")
    parser.add_argument("--loop", choices=LOOPS, help="both unless given")
    parser.add_argument("--rounds", type=int, default=40, help="of each figure (default: 40)")
    parser.add_argument("--json", type=Path, help="write the table there, too")
    parser.add_argument("--check", action="store_true", help="fail if a limit is missed")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - set(PARTS)
    if unknown or options.rounds < 8:
        parser.error(f"no such part: {', '.join(unknown)}" if unknown else "at least 8 rounds")
    rows: list[Row] = []
    for part in options.parts or PARTS:
        for loop in [options.loop] if options.loop else LOOPS:
            for row in PARTS[part](loop, options.rounds):
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
