"""The progress in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .extras import needs

with needs("cli"):
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Have in this context what tells of the progress, on stderr."""
    console = Console(stderr=True)
    columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("")

        def tell(text: str) -> None:
            console.print(Text(f"... {text}", "dim"))
            shown.update(task, description=text)

        yield tell
