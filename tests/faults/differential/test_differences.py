"""Each listed difference is there, and `docs/matrix.md` tells of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from .comparison import Pair
from .conftest import Staged
from .difference import Difference
from .differences import DIFFERENCES, markdown

PAGE = Path(__file__).parents[3] / "docs" / "matrix.md"


@pytest.mark.parametrize(
    ("ws", "difference", "scheme", "loop"),
    [
        pytest.param(ws, one, one.scheme, one.loop, id=f"{ws}-{one.name}")
        for one in DIFFERENCES
        for ws in one.servers
    ],
)
def test_is_there(ws: str, difference: Difference, stage: Staged) -> None:
    """Its play comes out as listed, and otherwise without it."""
    pair = Pair(ws, partial(stage, **difference.settings))
    assert pair.differing(difference.play, without=difference.name)
    assert not pair.differing(difference.play)


def test_names_are_distinct() -> None:
    assert len({one.name for one in DIFFERENCES}) == len(DIFFERENCES)


def test_page_has_the_list() -> None:
    _, _, part = PAGE.read_text().partition("## What else changes\n\n")
    assert part.partition("## ")[0].strip() == markdown().strip()
