"""What the payloads of Pings are made of: whoever can guess them can answer without reading."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .facts import ServerPing

UNITS = {1: "s", 10**3: "ms", 10**6: "µs", 10**9: "ns"}

CLOCK_IS_RIGHT = 86400.0
"""Seconds that a server's clock may be off so that its time is recognized as such."""

LARGEST_STEP = 1000
"""From one value of a counter to the next."""


@dataclass(frozen=True)
class Payloads:
    """What payloads have in common.

    Attributes:
        kind: `empty`, `constant`, `counter`, `timestamp`, or `random` for want of any pattern;
            `unknown` if there are too few of them.
        lengths: The lengths, in bytes, that were seen.
        detail: How a number is written.
        unit: That of a timestamp.
    """

    kind: str
    lengths: tuple[int, ...]
    detail: str = ""
    unit: str = ""

    def __str__(self) -> str:
        if self.kind == "empty":
            return "empty"
        kind = {"unknown": "too few to say more"}.get(self.kind, self.kind)
        detail = f" ({self.detail})" if self.detail else ""
        return f"{' or '.join(map(str, self.lengths))} bytes, {kind}{detail}"

    @property
    def predictable(self) -> bool:
        """Whether a client could answer the next Ping before it has read it."""
        if self.unit:  # finer ones cannot be met
            return self.unit in ("s", "ms") and self.kind == "timestamp"
        return self.kind not in ("random", "unknown")


@dataclass(frozen=True)
class Number:
    """A number in a payload, and what is around it."""

    value: float
    rest: bytes


Read = Callable[[bytes], Number | None]


def classify(pings: Sequence[ServerPing]) -> Payloads | None:
    """Say what the payloads are made of; `None` without any."""
    if not pings:
        return None
    payloads = [ping.payload for ping in pings]
    lengths = tuple(sorted({len(payload) for payload in payloads}))
    if lengths == (0,):
        return Payloads("empty", lengths)
    times = [ping.at for ping in pings]
    for detail, read in READERS.items():
        numbers = [number for number in map(read, payloads) if number]
        if len(numbers) == len(payloads) and (found := _number(numbers, times, lengths, detail)):
            return found
    if len(payloads) == 1:
        return Payloads("unknown", lengths)
    return Payloads("constant" if len(set(payloads)) == 1 else "random", lengths)


def _number(
    numbers: Sequence[Number], times: Sequence[float], lengths: tuple[int, ...], detail: str
) -> Payloads | None:
    """Return what payloads are that have a number in them which follows a rule."""
    values = [number.value for number in numbers]
    rests = [number.rest for number in numbers]
    if unit := _unit(values, times):
        kind, detail = "timestamp", f"{detail}, in {unit}"
    elif _counts(values):
        kind = "counter"
    else:
        return None
    if _counts([float(int.from_bytes(rest)) for rest in rests]):
        return Payloads(kind, lengths, f"{detail}, and a counter", unit)
    if len(set(rests)) > 1:
        return Payloads("random", lengths, f"beside a {kind}")
    if rests[0] and len(rests) == 1:
        return Payloads("unknown", lengths, f"beside a {kind}")
    return Payloads(kind, lengths, detail, unit)


def _digits(payload: bytes) -> Number | None:
    """Return the first number of a text."""
    found = re.search(rb"\d+(\.\d+)?", payload) if payload.isascii() else None
    if found is None:
        return None
    return Number(float(found[0]), payload[: found.start()] + payload[found.end() :])


def _integer(little: bool) -> Read:
    """Return what reads the first 4 or 8 bytes, or all of a shorter payload, as an integer."""

    def read(payload: bytes) -> Number | None:
        size = 8 if len(payload) >= 8 else min(len(payload), 4)
        value = int.from_bytes(payload[:size], "little" if little else "big")
        return Number(float(value), payload[size:])

    return read


def _double(payload: bytes) -> Number | None:
    if len(payload) < 8:
        return None
    return Number(struct.unpack(">d", payload[:8])[0], payload[8:])


READERS: dict[str, Read] = {
    "digits": _digits,
    "big-endian": _integer(little=False),
    "little-endian": _integer(little=True),
    "a double": _double,
}


def _unit(values: Sequence[float], times: Sequence[float]) -> str:
    """Return the unit in which all values are the time at which they came."""
    for factor, unit in UNITS.items():
        near = (abs(v / factor - at) < CLOCK_IS_RIGHT for v, at in zip(values, times, strict=True))
        if all(near):
            return unit
    return ""


def _counts(values: Sequence[float]) -> bool:
    """Whether each value is the one before and a small step, always the same."""
    steps = {after - before for before, after in pairwise(values)}
    largest = LARGEST_STEP if len(values) > 2 else 1  # two may be near each other by chance
    return len(steps) == 1 and 0 < steps.pop() <= largest
