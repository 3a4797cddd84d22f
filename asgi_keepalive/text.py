"""Text that others have chosen, cut before it is kept or logged."""

from __future__ import annotations

LONGEST = 200
"""A text is cut to so many characters."""


def cut(text: str) -> str:
    """Return the text, without its end if it is too long."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def shown(value: object) -> str:
    """Return the `repr` of a value, cut, for an error that refuses it."""
    try:
        return cut(repr(value))
    except Exception:  # an int may have too many digits for one
        return object.__repr__(value)
