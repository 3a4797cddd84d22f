"""Plain lines, or colours for a person at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from shutil import get_terminal_size
from typing import Any

NARROW = 40
"""Columns below which a terminal gets plain lines."""


def output(package: str, *, for_program: bool = False) -> Any:
    """Return a package's module that prints.

    It is `terminal` for a person at a terminal, if rich is installed, and `plain` otherwise.
    """
    if not for_program and _is_terminal():
        try:
            return import_module(f"{package}.terminal")
        except ImportError as error:
            print(f"{error}; without it there are plain lines", file=sys.stderr)
    return import_module(f"{package}.plain")


def _is_terminal() -> bool:
    """Whether there is a terminal, which has room for columns, and all characters."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        return False
    wide = get_terminal_size().columns >= NARROW
    return wide and (sys.stdout.encoding or "").lower().startswith("utf")


def write(text: str) -> None:
    """Print what standard output has characters for."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Have in this context what tells of the progress, on stderr."""
    yield lambda text: print(f"... {text}", file=sys.stderr, flush=True)
