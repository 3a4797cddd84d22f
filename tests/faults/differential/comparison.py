"""The same play on a server behind the middleware, and on the plain one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from .difference import OTHERS
from .differences import compared
from .performance import perform
from .play import Outcome, Play
from .stage import Stage

SEED = int(os.environ.get("FUZZ_SEED") or 1)
"""What is drawn depends on this alone; another FUZZ_SEED draws something else."""

EXAMPLES = float(os.environ.get("FUZZ_EXAMPLES") or 1)
"""So many times as many plays as usual are drawn."""

PAUSES = 0.0, 0.1
"""A play that comes out otherwise is performed again, and not in such a hurry: seconds per move."""

SHRINKING = 15.0
"""Seconds in which a smaller play is looked for."""

TIMED = {"end", "frames", "freed", "told"}
"""What may be otherwise because of that."""


class Pair:
    """The servers, each started when it is needed, and anew if it has been stopped."""

    def __init__(self, ws: str, stage: Callable[..., Stage]) -> None:
        self.ws = ws
        self._start = stage
        self._stages: dict[str, Stage] = {}

    def perform(self, kind: str, play: Play, replay: list[bytes] | None = None) -> Outcome:
        """Return what comes of a play on a server of that kind, see `Stage`."""
        if kind not in self._stages or self._stages[kind].stopping:
            self._stages[kind] = self._start(kind)
        return perform(self._stages[kind], play, replay)

    def differing(self, play: Play, without: str = "") -> list[tuple[str, Any, Any]]:
        """Return in what the outcomes of a play differ from what is expected."""
        found: list[tuple[str, Any, Any]] = []
        for pause in PAUSES:
            play = replace(play, pause=max(pause, play.pause))
            behind = self.perform("behind", play)
            plain = self.perform("plain", play, behind.sent)
            ahead = partial(self.perform, "ahead", play, behind.sent)
            found = compared(self.ws, play, plain, behind, ahead, without)
            if not {name for name, _, _ in found} <= TIMED or not found:
                break
        return found

    def compare(self, play: Play) -> None:
        """Fail if a play has another outcome behind the middleware, but for what is listed."""
        if self.ws in OTHERS:
            play = replace(play, escapes=False)  # by themselves their `send` never raises
        found = self.differing(play)
        assert not found, "\n".join(
            [f"{self.ws}: {play}", *(f"{name}:\n  {x}\n  {y}" for name, x, y in found)]
        )


def explore(test: Callable[[Any], None], plays: st.SearchStrategy[Any], number: int) -> None:
    """Draw plays, and see to it that the smallest that fails is shown."""
    print(f"FUZZ_SEED={SEED}")
    failed: dict[str, AssertionError] = {}
    until = inf

    # Hypothesis looks for a smaller one as long as some fail, and shows the one that failed last.
    def run(play: Any) -> None:
        nonlocal until
        known = failed.get(repr(play))
        if known is None and time.monotonic() < until:
            try:
                test(play)
            except AssertionError as error:
                known = failed[repr(play)] = error
                until = min(until, time.monotonic() + SHRINKING)
        if known is not None:
            raise AssertionError(str(known)) from None

    limits = hypothesis.settings(
        max_examples=max(1, round(number * EXAMPLES)),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    hypothesis.seed(SEED)(limits(given(plays)(run)))()
