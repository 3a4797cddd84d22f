"""What follows from the facts, without any I/O. Times are in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from statistics import median

from ..latency import RoundTrips, Statistics
from .facts import Ending, Facts, Rung, Watch
from .hops import Guess, guess

ALIKE = 0.2
"""Two times that differ by less than this part of the larger are taken for the same."""

AT_ONCE = 0.25
"""Seconds that a connection has to live before its end tells of a limit."""


def interval(watch: Watch | None) -> float | None:
    """Return how often the server pings; `None` if fewer than two Pings came."""
    return median(between) if watch is not None and (between := gaps(watch)) else None


def expected(watch: Watch | None) -> float | None:
    """Return for how long a Ping is to be waited for; `None` if none came."""
    if watch is None or not watch.pings:
        return None
    return max(watch.pings[0].after, interval(watch) or 0)


def gaps(watch: Watch) -> list[float]:
    """Return the times from one Ping to the next."""
    return [later.after - earlier.after for earlier, later in pairwise(watch.pings)]


def pings_are_missing(facts: Facts) -> bool:
    """Whether Pings were waited for, and none came."""
    watch, told = facts.watch, facts.heartbeats
    if watch is None or watch.pings or watch.ending is not None or watch.cut_short:
        return False
    # An interval that pages are told may be too long to be waited for.
    return told is None or (told.interval or 0) <= watch.seconds


def timeout_seen(facts: Facts) -> float | None:
    """Return how long the server waits for a Pong; `None` if that is not why it ends."""
    silent = facts.silent
    if silent is None or silent.ending is None or silent.ping_after is None:
        return None
    if ended_anyway(facts, silent.ending):
        return None
    return silent.ending.after - silent.ping_after


def ended_anyway(facts: Facts, ending: Ending) -> bool:
    """Whether a client that behaves well is ended alike, at the same age."""
    return any(
        (other.how, other.close_code) == (ending.how, ending.close_code)
        and _alike(other.after, ending.after)
        for seen in (facts.busy, facts.watch)
        if seen is not None and (other := seen.ending) is not None
    )


def statistics(round_trips: Sequence[float]) -> Statistics:
    """Return minimum, SRTT and RTTVAR."""
    seen = RoundTrips()
    seen.pings = len(round_trips)
    for latency in round_trips:
        seen.add(latency, 0.0)
    return seen.snapshot()


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that is not below so many of all."""
    return sorted(values)[ceil(part * len(values)) - 1]


def histogram(values: Sequence[float], bins: int = 8) -> list[tuple[float, float, int]]:
    """Return bounds and count of ranges of equal width that hold all values."""
    low, high = min(values), max(values)
    width = (high - low) / bins or 1e-6
    counts = [0] * bins
    for value in values:
        counts[min(int((value - low) / width), bins - 1)] += 1
    return [(low + i * width, low + (i + 1) * width, count) for i, count in enumerate(counts)]


@dataclass(frozen=True)
class Limit:
    """For how long a connection may be silent, or may live.

    Attributes:
        at_least: So long a silence was survived.
        at_most: So long a silence was not; `None` if every silence was survived.
        exact: Whether the cut was seen when it came, and not only the bounds.
        guess: What has cut it.
        only_own: Whether only what the client sends counts.
    """

    at_least: float
    at_most: float | None = None
    exact: bool = False
    guess: Guess | None = None
    only_own: bool = False


def longest_life(facts: Facts) -> float | None:
    """Return after how long a connection was ended that was never silent."""
    busy = facts.busy
    return busy.ending.after if busy is not None and busy.ending is not None else None


def idle_limit(facts: Facts) -> Limit | None:
    """Return what the ladder tells; `None` if there was none, or if the busy one ended alike."""
    rungs = [rung for rung in facts.ladder if rung.life]
    if not rungs:
        return None
    answers = bool(facts.round_trips) and not facts.lost  # otherwise a missing Pong says nothing
    cut = [rung for rung in rungs if rung.ending or (answers and rung.answered is False)]
    life = longest_life(facts)
    if life is not None:
        cut = [rung for rung in cut if not _alike(_lived(rung), life)]
    survived = max((rung.silence for rung in rungs if rung not in cut), default=0.0)
    if not cut:
        return Limit(survived)
    return _limit(cut, survived)


def _limit(cut: list[Rung], survived: float) -> Limit:
    seen = [rung for rung in cut if rung.ending is not None and not rung.ending.asked]
    if not seen:
        first = min(cut, key=lambda rung: rung.silence)
        return Limit(min(survived, first.silence), first.silence, guess=guess(first.ending))
    # While the other end goes on to speak, only what the client sends may count.
    only_own = all(rung.silence < rung.own_silence * (1 - ALIKE) for rung in seen)
    times = [rung.own_silence if only_own else rung.silence for rung in seen]
    at = median(times)
    [rung] = [one for one, time in zip(seen, times, strict=True) if time == min(times)][:1]
    return Limit(at, at, exact=True, guess=guess(rung.ending), only_own=only_own)


def _alike(one: float, other: float) -> bool:
    return abs(one - other) <= max(AT_ONCE, ALIKE * max(one, other))


def _lived(rung: Rung) -> float:
    return rung.ending.after if rung.ending is not None else rung.life
