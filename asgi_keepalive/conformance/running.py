"""Running all checks on one server."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import NamedTuple

from . import endings, level1, level2, level3, level4, level5, level6
from .checks import CHECKS, SHUTDOWN_CHECKS, Check
from .outcomes import FAIL, NA, OK, Failed, NotSeen, Outcome
from .page import BOXES, LEVELS, level_of
from .trial import Run, Trial

AT_ONCE, FEW = 8, 3
"""So many checks run at once, and so many of those that are tried again."""

MODULES = endings, level1, level2, level3, level4, level5, level6
"""They have put their checks into the list."""

Found = tuple[str, Outcome]


class Result(NamedTuple):
    """What has been found of one server.

    Attributes:
        offered: The functions that it offers.
        boxes: What was found of each box, by its number.
    """

    offered: tuple[str, ...]
    boxes: dict[str, Outcome]

    @property
    def level(self) -> int:
        """The highest level that is offered without a failure on it or below."""
        level = 0
        while level < max(LEVELS) and self._is_kept(level + 1):
            level += 1
        return level

    def _is_kept(self, level: int) -> bool:
        outcomes = [one for box, one in self.boxes.items() if level_of(box) == level]
        is_seen = any(one.status == OK for one in outcomes)
        return is_seen and not any(one.status == FAIL for one in outcomes)

    def count(self, status: str) -> int:
        """Return how many boxes have a status."""
        return sum(outcome.status == status for outcome in self.boxes.values())


def run_checks(run: Run, highest: int) -> Result:
    """Run the checks up to a level, and let the server exit."""
    found: list[Found] = []
    try:
        run.offered = probe(run)
        found += _until_shutdown(run, highest)
        found += _at_shutdown(run, highest)
    finally:
        run.target.shut_down()
        run.left_at = time.monotonic()
        run.target.join()
        run.exited_at = time.monotonic()
    found += [(one.box, perform(one, run)) for one in _chosen(run, highest, is_last=True)]
    boxes = {box: _joined(box, found) for box in BOXES if level_of(box) <= highest}
    return Result(tuple(sorted(run.offered)), boxes)


def probe(run: Run) -> set[str]:
    """Return the functions that the server offers."""
    with Trial(run) as trial, suppress(Failed, EOFError, OSError):
        return trial.accepted().remote.functions
    return set()  # the first box says why


def _until_shutdown(run: Run, highest: int) -> Iterator[Found]:
    together = _chosen(run, highest, is_last=False)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda one: perform(one, run), together))
    with ThreadPoolExecutor(FEW) as pool:
        outcomes = list(pool.map(lambda one, first: again(one, run, first), together, outcomes))
    yield from zip((one.box for one in together), outcomes, strict=True)


def _chosen(run: Run, highest: int, *, is_last: bool) -> list[Check]:
    return [
        one
        for one in CHECKS
        if one.is_last is is_last and _is_offered(one.box, run.offered, highest)
    ]


def _is_offered(box: str, offered: set[str], highest: int) -> bool:
    # The first box is there to say that nothing is offered.
    level = level_of(box)
    return level <= highest and (box == "1.1" or {*LEVELS[1], *LEVELS[level]} <= offered)


def perform(one: Check, run: Run) -> Outcome:
    """Perform a check."""
    with Trial(run) as trial:
        return outcome(lambda: one.function(trial), trial)


def again(one: Check, run: Run, first: Outcome) -> Outcome:
    """Perform a check again if it failed: the machine may have been busy."""
    if first.status != FAIL:
        return first
    second = perform(one, run)
    if second.status == FAIL:
        return second
    return second._replace(seen=f"{second.seen} (but at first: {first.seen})")


def outcome(function: Callable[[], str], trial: Trial) -> Outcome:
    """Return what a check comes to."""
    try:
        return Outcome(OK, function())
    except NotSeen as exc:
        return Outcome(NA, str(exc))
    except Failed as exc:
        return Outcome(FAIL, str(exc), trial.trace.last())
    except (EOFError, OSError) as exc:
        return Outcome(FAIL, f"the connection ended: {exc!r}", trial.trace.last())


def _at_shutdown(run: Run, highest: int) -> Iterator[Found]:
    """Prepare the connections, let the server shut down, and see what becomes of them."""
    chosen = [one for one in SHUTDOWN_CHECKS if _is_offered(one.box, run.offered, highest)]
    with ExitStack() as stack, ThreadPoolExecutor(len(chosen) or 1) as pool:
        trials = [stack.enter_context(Trial(run)) for _ in chosen]
        begun = [one.function(trial) for one, trial in zip(chosen, trials, strict=True)]
        ready = list(pool.map(_advance, begun, trials))
        run.target.shut_down()
        ended = list(pool.map(_advance, begun, trials))
    for one, *both in zip(chosen, ready, ended, strict=True):
        yield one.box, next((found for found in both if found.status != OK), both[-1])


def _advance(begun: Generator[None, None, str], trial: Trial) -> Outcome:
    """Let a check go on to its `yield`, or to its end."""

    def advance() -> str:
        try:
            next(begun)
        except StopIteration as stop:
            return str(stop.value)
        return ""

    return outcome(advance, trial)


def _joined(box: str, found: list[Found]) -> Outcome:
    """Return what all checks of a box come to."""
    outcomes = [one for number, one in found if number == box]
    for status in FAIL, OK:
        chosen = [one for one in outcomes if one.status == status]
        if chosen:
            seen = "; ".join(one.seen for one in chosen)
            return Outcome(status, seen, chosen[0].trace)
    why = outcomes[0].seen if outcomes else f"level {level_of(box)} is not offered"
    return Outcome(NA, why)
