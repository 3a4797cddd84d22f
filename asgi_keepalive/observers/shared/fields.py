"""The form of everything in Redis: JSON arrays, to which a later version may append.

Anybody may have written there, so what is read is checked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import NoneType
from typing import Any

ENCODER = json.JSONEncoder(separators=(",", ":"))

NUMBER = (int, float)
OPTIONAL = (int, float, NoneType)

LARGEST = 1e15
"""No number of the view is as large. JSON has larger and infinite ones, which break sums."""


def dump(fields: Sequence[Any]) -> bytes:
    """Return fields in their form in Redis."""
    return ENCODER.encode(fields).encode()


def load(raw: Any, types: Sequence[Any]) -> list[Any] | None:
    """Return fields of these types, or `None` if they are not. Lists need another look."""
    try:
        fields = json.loads(raw)[: len(types)]
    except (TypeError, ValueError, KeyError, RecursionError):
        return None
    is_known = len(fields) == len(types) and all(map(isinstance, fields, types))
    return list(fields) if is_known and all(map(is_sane, fields)) else None


def load_count(raw: Any) -> int:
    """Return a number that another process has written, or 0."""
    try:
        count = int(raw)
    except (TypeError, ValueError):
        return 0
    return count if is_sane(count) else 0


def is_sane(field: Any) -> bool:
    """Whether this is no number, or one that the view can have."""
    return not isinstance(field, NUMBER) or 0 <= field < LARGEST
