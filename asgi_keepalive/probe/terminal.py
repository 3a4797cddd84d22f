"""The report in the colours of a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..extras import needs
from ..terminal import progress
from .plain import LABEL
from .telling import Section

with needs("cli"):
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

__all__ = ["progress", "show"]

STYLES = {"finding": "bold red", "change": "bold yellow"}


def show(url: str, sections: Sequence[Section]) -> None:
    """Print a report."""
    console = Console(highlight=False)
    console.print(Text(url, "bold"))
    for section in sections:
        console.print()
        console.print(Text(section.title, "bold cyan"))
        table = Table.grid(padding=(0, 1))
        table.add_column(width=LABEL)
        table.add_column(overflow="fold")
        before = ""
        for label, text in section.lines:
            style = STYLES.get(label, "dim")
            table.add_row(Text(label if label != before else "", style), Text(text))
            before = label
        console.print(table)
