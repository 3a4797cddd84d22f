"""The report as plain lines."""

from __future__ import annotations

from collections.abc import Sequence

from ..output import progress, write
from .telling import Section

__all__ = ["LABEL", "progress", "show"]

LABEL = 16
"""Columns of a label."""


def show(url: str, sections: Sequence[Section]) -> None:
    """Print a report."""
    write(url)
    for section in sections:
        write(f"\n{section.title}")
        before = ""
        for label, text in section.lines:
            write(f"  {label if label != before else '':<{LABEL}}{text}".rstrip())
            before = label
