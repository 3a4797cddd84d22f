"""The screen: plain lines, or colours where the output is a terminal and `rich` is installed."""

from __future__ import annotations

import importlib.util
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

WIDTH = 80
"""Columns of all that is printed."""

STYLES = {
    "middleware": "bold cyan",
    "uvicorn": "bold",
    "lively": "green",
    "silent": "yellow",
    "frozen": "bright_blue",
    "busy": "magenta",
}


class Answer(NamedTuple):
    """A cell of the table, and whether one would like to have it so."""

    text: str
    good: bool


Row = tuple[str, Answer, Answer]


class Screen:
    """Plain lines."""

    def line(self, *parts: tuple[str, str]) -> None:
        """Print a line of texts, each with its style."""
        print("".join(text for text, _ in parts), flush=True)

    def table(self, head: Sequence[str], rows: Sequence[Row]) -> None:
        """Print the questions and both answers of each."""
        lines = [head, *((asked, one.text, other.text) for asked, one, other in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            self.text("  ".join(cells).rstrip())

    def text(self, text: str = "", style: str = "") -> None:
        """Print a text."""
        self.line((textwrap.fill(text, WIDTH), style))

    def entry(self, name: str, text: str) -> None:
        """Print a text about a server or a client."""
        head, indent = f"  {name:<10}  ", " " * 14
        lines = textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=indent)
        self.line((head, STYLES[name]), (lines[len(head) :], ""))

    def event(self, seconds: float, server: str, client: str, what: str) -> None:
        """Print an event of one client on one server."""
        self.line(
            (f"{seconds:5.2f}  ", "dim"),
            (f"{server:<10}  ", STYLES.get(server, "")),
            (f"{client:<6}  ", STYLES.get(client, "")),
            (what, ""),
        )


class RichScreen(Screen):
    """The same in colours; without colours if the environment has `NO_COLOR`.

    Args:
        width: How many columns there are; `None` asks the terminal.
    """

    def __init__(self, width: int | None = None) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, record=True, width=width)

    def line(self, *parts: tuple[str, str]) -> None:
        from rich.text import Text

        self._console.print(Text.assemble(*parts), soft_wrap=True)

    def table(self, head: Sequence[str], rows: Sequence[Row]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(*head, show_edge=False, pad_edge=False)
        for asked, *answers in rows:
            table.add_row(asked, *(Text(text, "green" if ok else "red") for text, ok in answers))
        self._console.print(table)

    def draw(self, file: Path, title: str) -> None:
        """Write a picture of all that was printed; it loads no font from elsewhere."""
        picture = self._console.export_svg(title=title, unique_id="demo")
        file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))


def has_rich() -> bool:
    """Return whether `rich` is installed."""
    return importlib.util.find_spec("rich") is not None


def suitable() -> Screen:
    """Return the screen that suits the output."""
    return RichScreen() if sys.stdout.isatty() and has_rich() else Screen()
