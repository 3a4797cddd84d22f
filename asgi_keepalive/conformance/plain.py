"""The report as plain lines."""

from __future__ import annotations

from collections.abc import Mapping

from ..output import progress, write
from .report import lines, summary
from .running import Result

__all__ = ["conclude", "progress", "show"]


def show(name: str, result: Result) -> None:
    """Print what was found in one run."""
    write("\n".join([*lines(name, result), ""]))


def conclude(results: Mapping[str, Result]) -> None:
    """Print the last line."""
    write(summary(results))
