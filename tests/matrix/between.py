"""`python -m tests.matrix.between`: print what may stand between, and on which servers it works.

Each cell is what happened: behind each package a silent client, one that reads nothing, and clients
that close or are closed are served by every server, and the package is asked what it has seen. What
happened instead goes to stderr.
"""

from __future__ import annotations

import argparse
import queue
import sys
from collections.abc import Sequence
from pathlib import Path

from ..conftest import PROTOCOLS, SERVERS
from ..instrumentation.playing import PACKAGES, served, works
from ..support.process import Process
from .table import BETWEEN, rewritten, written

PAGE = Path(__file__).parents[2] / "docs" / "matrix.md"


def row(name: str) -> dict[str, str]:
    """Serve one package on all servers, and return the cells."""
    with served(name) as (process, ports):
        return {server: _cell(name, server, process, port) for server, port in ports.items()}


def _cell(name: str, server: str, process: Process, port: int) -> str:
    try:
        works(process, port, PACKAGES[name])
    except (AssertionError, EOFError, OSError, queue.Empty) as instead:
        print(f"{name}, {server}: {instead!r}", file=sys.stderr, flush=True)
        return "no"
    return "yes"


def table() -> str:
    """Serve everything, and return the table."""
    titles = [f"uvicorn `{server}`" if server in PROTOCOLS else server for server in SERVERS]
    lines = [["package", *titles], ["---"] * (1 + len(titles))]
    for name, package in PACKAGES.items():
        cells = row(name)
        lines.append([package.title, *(cells.get(server, "") for server in SERVERS)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments: Sequence[str], page: Path = PAGE) -> int:
    """Run everything; return 1 if it was to be checked and differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix.between", description=__doc__)
    use = parser.add_mutually_exclusive_group()
    use.add_argument("--write", action="store_true", help="write the table into docs/matrix.md")
    use.add_argument("--check", action="store_true", help="fail if docs/matrix.md has another")
    options = parser.parse_args(arguments)
    before = written(page.read_text(), BETWEEN)
    after = table()
    print(after, end="")
    if options.write:
        page.write_text(rewritten(page.read_text(), after, BETWEEN))
    return int(options.check and after != before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
