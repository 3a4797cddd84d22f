"""The rows of the table that is printed."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median, quantiles
from typing import NamedTuple

from .measure import MIDDLEWARE

NOISE = 0.03
"""By how much a ratio may miss what it is to be."""

BASE = {
    MIDDLEWARE: "uvicorn, sansio",
    "uvicorn, sansio": "uvicorn, sansio",
    "no keepalive, sansio": "uvicorn, sansio",
    "websockets": "uvicorn, sansio",
    "picows": "uvicorn, sansio",
    "middleware, wsproto": "uvicorn, wsproto",
    "uvicorn, wsproto": "uvicorn, wsproto",
}
"""What each contender is compared with."""


class Row(NamedTuple):
    """One figure of one contender, as it is printed and written.

    Attributes:
        ratio: To what it is compared with, the median of all rounds; `None` if to nothing.
        spread: The ratio's quartiles.
        limit: What the ratio, or without one the figure, is to be at most; `None` if anything.
    """

    measured: str
    loop: str
    contender: str
    figure: float
    unit: str
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    limit: float | None = None

    @property
    def good(self) -> bool:
        """Whether the limit is kept."""
        if self.limit is None:
            return True
        if self.ratio is not None:
            return self.ratio <= self.limit + NOISE
        return self.figure <= self.limit

    def __str__(self) -> str:
        figure = f"{self.figure:.4g} {self.unit}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        spread = "" if self.spread is None else "{:.2f} to {:.2f}".format(*self.spread)
        limit = "" if self.limit is None else f"at most {self.limit:g}"
        verdict = "" if self.limit is None else "good" if self.good else "MISSED"
        return (
            f"{self.measured:27} {self.loop:8} {self.contender:21} {figure:>14} {ratio:>6} "
            f"{spread:>13}  {limit:13} {verdict}"
        )


def compared(
    measured: str,
    loop: str,
    rounds: dict[str, list[float]],
    limit: float | None = None,
    to: list[float] | None = None,
) -> Iterable[Row]:
    """Return a row of CPU time for each contender; the limit is this project's.

    A contender is compared with its `BASE`, unless with the rounds given as `to`.
    """
    for name, seconds in rounds.items():
        base = to or rounds[BASE[name]]
        ratios = [mine / other for mine, other in zip(seconds, base, strict=True)]
        low, _, high = quantiles(ratios, n=4)
        yield Row(
            measured,
            loop,
            name,
            median(seconds) * 1e6,
            "us",
            None if base is seconds else median(ratios),
            None if base is seconds else (low, high),
            limit if name.startswith("middleware") else None,
        )


def to_without(
    measured: str, loop: str, rounds: dict[str, list[float]], limit: float | None = None
) -> Iterable[Row]:
    """Return a row for the middleware as it is, compared with the one without the bound."""
    (name, mine), (other, base) = rounds.items()
    ratio = median(mine) / median(base)
    yield Row(measured, loop, name, median(mine) * 1e3, "ms", ratio, limit=limit)
    yield Row(measured, loop, other, median(base) * 1e3, "ms")
