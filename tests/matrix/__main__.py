"""`python -m tests.matrix`: try the promises on each server, and print one table.

Each cell is what happened: the servers run as processes, with the middleware or with their own
keepalive, and clients fall silent, freeze, lie and leave. What is merged in a cell are the event
loops, and ws and wss. What happened instead of a promise goes to stderr.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .play import Certificate, playing
from .promises import PROMISES, tried
from .servers import ROWS, Combination, Row
from .table import Line, markdown, merged, rewritten, written

PAGE = Path(__file__).parents[2] / "docs" / "matrix.md"
AT_ONCE = 2
"""How many servers run at the same time; they wait for most of it."""


class Outcome(NamedTuple):
    """What one server kept, on one event loop, with or without TLS."""

    row: Row
    combination: Combination
    supported: bool | None
    happened: dict[str, str | None]


def run(row: Row, combination: Combination, certificate: Certificate) -> Outcome:
    """Try all promises on a server, and say which it broke."""
    with playing(row, combination, certificate) as play:
        happened = tried(play)
        supported = play.supported
    kept = sum(what is None for what in happened.values())
    own = ", its own keepalive" if row.own else ""
    report = [f"{row.server}{own}, {combination}: {kept} of {len(happened)}"]
    report += [f"    {title}: {what}" for title, what in happened.items() if what is not None]
    print("\n".join(report), file=sys.stderr, flush=True)
    return Outcome(row, combination, supported, happened)


def line(row: Row, outcomes: Sequence[Outcome]) -> Line:
    """Return the line of a row's outcomes."""
    supported = {outcome.combination: bool(outcome.supported) for outcome in outcomes}
    works = merged(supported)
    keepalive = "the middleware" if works == "yes" else f"the middleware (`supported`: {works})"
    cells = [
        merged({outcome.combination: outcome.happened[title] is None for outcome in outcomes})
        for title, _ in PROMISES
    ]
    return Line(row.server, "the server" if row.own else keepalive, cells)


def table(rows: Sequence[Row]) -> str:
    """Run all servers, and return the table."""
    with (
        tempfile.TemporaryDirectory() as directory,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        certificate = Certificate.written_to(Path(directory))
        running = [
            threads.submit(run, row, combination, certificate)
            for row in rows
            for combination in row.combinations
        ]
        outcomes = [future.result() for future in running]
    lines = [line(row, [one for one in outcomes if one.row is row]) for row in rows]
    return markdown([promise.title for promise in PROMISES], lines)


def main(arguments: Sequence[str], page: Path = PAGE) -> int:
    """Run what is asked for; return 1 if it was to be checked and differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("servers", nargs="*", help="parts of their names; all unless given")
    use = parser.add_mutually_exclusive_group()
    use.add_argument("--write", action="store_true", help="write the table into docs/matrix.md")
    use.add_argument("--check", action="store_true", help="fail if docs/matrix.md has another")
    options = parser.parse_args(arguments)
    if options.servers and (options.write or options.check):
        parser.error("docs/matrix.md has all servers")
    for part in options.servers:
        if not any(part in row.server for row in ROWS):
            parser.error(f"no such server: {part}")
    rows = [row for row in ROWS if any(part in row.server for part in options.servers or [""])]
    before = written(page.read_text())
    after = table(rows)
    print(after, end="")
    if options.write:
        page.write_text(rewritten(page.read_text(), after))
    if options.check and after != before:
        lines = before.splitlines(keepends=True), after.splitlines(keepends=True)
        sys.stderr.writelines(difflib.unified_diff(*lines, "docs/matrix.md", "what happened"))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
