"""Closing while the peer talks, leaving before all has begun, and messages at every bound."""

from __future__ import annotations

import pytest

from .comparison import Pair, explore
from .plays import bounds, closings, leavings, stoppings

# A plain gunicorn ends TCP only with its application, so each play there takes all of its patience.
pytestmark = pytest.mark.timeout(180)


def test_closings(pair: Pair) -> None:
    explore(pair.compare, closings(), 40)


def test_leavings(pair: Pair) -> None:
    explore(pair.compare, leavings(), 30)


def test_bounds(pair: Pair) -> None:
    explore(pair.compare, bounds(), 10)


def test_stoppings(pair: Pair) -> None:
    explore(pair.compare, stoppings(), 4)
