"""What a check may come to."""

from __future__ import annotations

import time
from typing import NamedTuple

OK, FAIL, NA = "ok", "FAIL", "n.a."


class Failed(Exception):
    """The server does not do what a box says."""


class NotSeen(Exception):
    """Nothing can be said of a box on this platform, on this server or with these options."""


class Outcome(NamedTuple):
    """What has been found of a box.

    Attributes:
        status: `ok`, `FAIL` or `n.a.`.
        seen: What was seen.
        trace: The last things that happened before a failure.
    """

    status: str
    seen: str
    trace: tuple[str, ...] = ()


class Trace:
    """Notes what happens in a check, and when."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lines: list[str] = []

    def __call__(self, line: str) -> None:
        self._lines.append(f"{time.monotonic() - self._began:.3f} {line}")

    def last(self, count: int = 3) -> tuple[str, ...]:
        """Return the last lines."""
        return tuple(self._lines[-count:])


def require(holds: object, otherwise: str) -> None:
    """Fail the check unless something holds."""
    if not holds:
        raise Failed(otherwise)
