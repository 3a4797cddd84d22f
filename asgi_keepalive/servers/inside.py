"""Whether the inside of a server is what an adapter expects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Touched = Mapping[type, tuple[str, ...]]
"""The types of a server's objects, and the names of the attributes that an adapter uses of each."""


def has(owner: Any, names: Iterable[str]) -> bool:
    """Whether an object has all attributes of these names."""
    return all(hasattr(owner, name) for name in names)


def are_known(parts: Iterable[Any], touched: Touched) -> bool:
    """Whether parts of a server are of exactly these types, in this order, and have the names."""
    return all(
        type(part) is cls and has(part, names)
        for part, (cls, names) in zip(parts, touched.items(), strict=True)
    )
