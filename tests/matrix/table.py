"""The table: cells, lines, and its place in a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .servers import Combination

BEGIN, END = "<!-- matrix -->\n", "<!-- /matrix -->\n"
MATRIX = BEGIN, END
BETWEEN = "<!-- between -->\n", "<!-- /between -->\n"


class Line(NamedTuple):
    """A server, whose keepalive runs, and a cell for each promise."""

    server: str
    keepalive: str
    cells: list[str]


def merged(kept: Mapping[Combination, bool]) -> str:
    """Return the cell that says on which combinations a promise was kept."""
    broken = [combination for combination, good in kept.items() if not good]
    if not broken:
        return "yes"
    if len(broken) == len(kept):
        return "no"
    for part in dict.fromkeys(part for combination in broken for part in combination):
        if broken == [combination for combination in kept if part in combination]:
            return f"no on {part}"
    return f"no on {', '.join(map(str, broken))}"


def markdown(titles: Iterable[str], lines: Iterable[Line]) -> str:
    """Return the table."""
    rows = [["server", "keepalive of", *titles]]
    rows.append(["---"] * len(rows[0]))
    rows += [[line.server, line.keepalive, *line.cells] for line in lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def written(text: str, markers: tuple[str, str] = MATRIX) -> str:
    """Return the table between a file's markers.

    Raises:
        ValueError: There are not exactly one of the first and one of the second after it.
    """
    return _split(text, *markers)[1]


def rewritten(text: str, table: str, markers: tuple[str, str] = MATRIX) -> str:
    """Return the file with another table between its markers.

    Raises:
        ValueError: There are not exactly one of the first and one of the second after it.
    """
    before, _, after = _split(text, *markers)
    return before + table + after


def _split(text: str, begin: str, end: str) -> tuple[str, str, str]:
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"expected one {begin.strip()} and one {end.strip()} after it")
    before, _, rest = text.partition(begin)
    table, _, after = rest.partition(end)
    return before + begin, table, end + after
