"""What is printed of what has been found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from .outcomes import FAIL, NA, OK
from .page import BOXES, LEVELS
from .running import Result

STATUSES = OK, FAIL, NA


def level(results: Mapping[str, Result]) -> int:
    """Return the level that a server has reached in all runs."""
    return min((result.level for result in results.values()), default=0)


def headline(name: str, result: Result) -> str:
    """Return the first line of one run."""
    return f"{name}: {', '.join(result.offered) or 'nothing'} offered"


def lines(name: str, result: Result) -> Iterator[str]:
    """Yield the lines of one run, one for each box."""
    yield headline(name, result)
    for box, outcome in result.boxes.items():
        yield f"  {outcome.status:4} {box:4} {BOXES[box]} [{outcome.seen}]"
        yield from (f"            {line}" for line in outcome.trace)


def summary(results: Mapping[str, Result]) -> str:
    """Return the last line."""
    counts = ", ".join(
        f"{sum(result.count(status) for result in results.values())} {status}"
        for status in STATUSES
    )
    reached = level(results)
    functions = f" ({', '.join(LEVELS[reached])})" if reached else ""
    runs = "1 run" if len(results) == 1 else f"{len(results)} runs"
    return f"level {reached}{functions} reached in {runs}: {counts}"


def as_json(command: str, results: Mapping[str, Result]) -> str:
    """Return all of it for a program."""
    runs = {
        name: {
            "level": result.level,
            "offered": result.offered,
            "boxes": {
                box: {"says": BOXES[box], **outcome._asdict()}
                for box, outcome in result.boxes.items()
            },
        }
        for name, result in results.items()
    }
    return json.dumps({"command": command, "level": level(results), "runs": runs}, indent=2)


def as_markdown(command: str, results: Mapping[str, Result]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"`{command}`: {summary(results)}"
    yield ""
    yield f"| box | {' | '.join(results)} | what the page says |"
    yield f"|---|{'---|' * len(results)}---|"
    for box in next(iter(results.values())).boxes:
        found = " | ".join(result.boxes[box].status for result in results.values())
        yield f"| {box} | {found} | {BOXES[box]} |"
