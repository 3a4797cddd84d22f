"""Commands for Redis, and how much one of them has to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Command = tuple[str | bytes | float, ...]

PIECE = 100
"""A command has so many values, so that others have their turn before the next is made."""

T = TypeVar("T")


def pieces(items: Iterable[T], size: int = PIECE) -> Iterator[list[T]]:
    """Yield the items in lists of a size."""
    iterator = iter(items)
    while piece := list(islice(iterator, size)):
        yield piece


def encoded(text: str) -> bytes:
    """Return a text as bytes; a client may have chosen it."""
    return text.encode(errors="backslashreplace")
