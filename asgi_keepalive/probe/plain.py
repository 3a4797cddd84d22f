"""The report and the progress as plain lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .telling import Section

LABEL = 16
"""Columns of a label."""


def show(url: str, sections: Sequence[Section]) -> None:
    """Print a report."""
    _print(url)
    for section in sections:
        _print(f"\n{section.title}")
        before = ""
        for label, text in section.lines:
            _print(f"  {label if label != before else '':<{LABEL}}{text}".rstrip())
            before = label


def _print(text: str) -> None:
    """Print what standard output has characters for."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Have in this context what tells of the progress, on stderr."""
    yield lambda text: print(f"... {text}", file=sys.stderr, flush=True)
