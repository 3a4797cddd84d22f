"""What is checked is what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asgi_keepalive.conformance import running
from asgi_keepalive.conformance.checks import CHECKS, SHUTDOWN_CHECKS
from asgi_keepalive.conformance.page import BOXES, LEVELS, level_of

from .exiting import EXITING
from .mutants import MUTANTS

PAGE = (Path(__file__).parents[2] / "docs" / "extension.md").read_text()
TEXT, _, CONFORMANCE = PAGE.partition("## Conformance")

MUSTS = {
    "must not run its own keepalive": {"1.3"},
    "must be called for each Pong frame": {"1.8"},
    "must be called once, when the connection begins to close": {"1.11"},
    "must call neither callback and must drop both": {"1.14"},
    "Callbacks must not raise": "it binds the middleware",
    "must work as soon as the `send` of *Accept* has returned": {"1.5"},
    "must remove `websocket.ping` from the scope": "it binds the middleware",
    "if the code must not be in a Close frame": {"2.7"},
    "the server must do this before `fail` returns": {"2.1", "2.2", "2.3", "2.4", "2.5", "2.8"},
    "must not rely on the server alone": "it binds the middleware",
    "must pause reading when either bound is reached": {"3.2"},
    "must also hold within one read": {"3.2", "3.3"},
    "must be called with `True` when reading pauses": {"3.2"},
    "must not call it after `on_closing` nor after a `fail`, and must drop it then": {"2.8", "3.5"},
    "TCP must be gone at the latest `timeout` seconds": {"4.1", "4.2"},
    "must set `SO_LINGER` to (1, 0) and abort": {"2.6", "4.1", "4.2"},
    "must hold the descriptor as long as bytes are unacknowledged": {"4.1", "4.4"},
    "a blocked `send` must end": {"4.3"},
    "so it must not be called for each message": "it binds the middleware",
    "must be called when the server begins to exit, if the connection is open then": {"6.1"},
    "must not end the connection, nor cancel its application": {"6.2"},
    "must not call `on_exit` after `on_closing` nor after a `fail`, and must drop it then": {"6.4"},
    "must give them a piece at a time": {"3.2", "3.3"},
}
"""Each sentence of the page with a must, and the boxes for it, or why there is none."""


def test_boxes_are_those_of_the_page() -> None:
    found = re.findall(r"^\* \*\*(\d\.\d+)\*\* (.*(?:\n  .*)*)", CONFORMANCE, re.MULTILINE)
    assert {number: " ".join(says.split()) for number, says in found} == BOXES


def test_each_box_has_a_check() -> None:
    assert running.MODULES
    assert {one.box for one in CHECKS} | {one.box for one in SHUTDOWN_CHECKS} == set(BOXES)


def test_each_must_has_a_box() -> None:
    text = " ".join(re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL).split())
    covered = [match for part in MUSTS if (match := text.find(part)) >= 0]
    assert len(covered) == len(MUSTS)
    for part in MUSTS:
        text = text.replace(part, "")
    assert re.findall(r".{30}\bmust\b.{30}", text) == []
    assert {box for boxes in MUSTS.values() if isinstance(boxes, set) for box in boxes} <= set(
        BOXES
    )


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_has_faults(level: int) -> None:
    """Each box but one is seen to catch one; the server from the page does not compress."""
    seen = {
        box for mutant in (*MUTANTS, *EXITING) for box in mutant.boxes if level_of(box) == level
    }
    unseen = {box for box in BOXES if level_of(box) == level} - seen
    assert unseen <= {"3.3"}


def test_level_1_is_short() -> None:
    level_1 = TEXT.partition("## Terms")[0]
    assert len(re.sub(r"```.*?```", "", level_1, flags=re.DOTALL).split()) < 400
