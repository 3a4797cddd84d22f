"""The report in the colours of a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from ..extras import needs
from ..terminal import progress
from .outcomes import FAIL, NA, OK
from .page import BOXES
from .report import headline, summary
from .running import Result

with needs("cli"):
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = ["conclude", "progress", "show"]

STYLES = {OK: "green", FAIL: "bold red", NA: "yellow"}


def show(name: str, result: Result) -> None:
    """Print what was found in one run."""
    table = Table.grid(padding=(0, 1))
    for width in 4, 4, None:
        table.add_column(width=width, overflow="fold")
    for box, outcome in result.boxes.items():
        text = Text.assemble(BOXES[box], (f" [{outcome.seen}]", "dim"))
        for line in outcome.trace:
            text.append(f"\n  {line}", "yellow")
        style = STYLES[outcome.status]
        table.add_row(Text(outcome.status, style), Text(box, style), text)
    console = Console(highlight=False)
    console.print(Text(headline(name, result), "bold cyan"), table, "", sep="\n")


def conclude(results: Mapping[str, Result]) -> None:
    """Print the last line."""
    style = "bold red" if any(result.count(FAIL) for result in results.values()) else "bold green"
    Console(highlight=False).print(Text(summary(results), style))
