"""How long and how often a probe looks."""

from __future__ import annotations

from dataclasses import dataclass

STEP = 1.5
"""How much longer each rung of the ladder is silent than the one before."""


@dataclass(frozen=True)
class Options:
    """The bounds of a probe. Times are in seconds.

    Attributes:
        pings: How many Pings of its own measure the round trip.
        watch: How long to wait for Pings of the server.
        patience: How long to wait for the end of a client that misbehaves.
        idle_limit: The longest silence of the ladder; 0 for no ladder.
        rungs: How many connections the ladder has.
        parallel: How many connections there may be at once, beside those of the ladder.
    """

    pings: int = 20
    watch: float = 65.0
    patience: float = 60.0
    idle_limit: float = 120.0
    rungs: int = 6
    parallel: int = 1
