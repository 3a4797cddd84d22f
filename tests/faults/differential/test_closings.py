"""Closing while the peer talks, leaving before all has begun, and messages at every bound."""

from __future__ import annotations

import os

import pytest

from .comparison import Pair, explore
from .plays import bounds, closings, leavings, stoppings


@pytest.fixture
def is_listed(ws: str) -> None:
    """Leave out the plays of which the list of differences does not know all yet."""
    if ws == "websockets" and not os.environ.get("FUZZ_ALL"):
        pytest.skip(
            "on uvicorn's `websockets` the list lacks what the bound of 1 MiB hides, and who is "
            "told sooner of the end; FUZZ_ALL=1 plays these, too"
        )


@pytest.mark.usefixtures("is_listed")
def test_closings(pair: Pair) -> None:
    explore(pair.compare, closings(), 40)


def test_leavings(pair: Pair) -> None:
    explore(pair.compare, leavings(), 30)


@pytest.mark.usefixtures("is_listed")
def test_bounds(pair: Pair) -> None:
    explore(pair.compare, bounds(), 10)


def test_stoppings(pair: Pair) -> None:
    explore(pair.compare, stoppings(), 4)
