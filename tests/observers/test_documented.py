"""The documentation of `connections.json` has all that is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from asgi_keepalive.dashboard import Dashboard
from asgi_keepalive.observers.live import LiveConnections
from asgi_keepalive.observers.metrics import BUCKETS
from asgi_keepalive.verdict import judge

from ..support.observers import added, overdue

PAGE = (Path(__file__).parents[2] / "docs" / "observing.md").read_text()


def documented(heading: str) -> dict[str, str]:
    """Return the keys of the table after a line, and when they are null."""
    table = PAGE.partition(f"\n{heading}:\n\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {row[0].strip("`"): row[-1] for row in rows}


@pytest.fixture
def told() -> Any:
    """An answer in which everything is null that ever is."""
    live = LiveConnections()
    added(live, 1, 0.5, 0.25)
    settings = added(live, 2)
    settings.keepalive.configure(ping_interval=None, ping_timeout=None)
    overdue(added(live, 3))
    verdict = judge({}, waited=1, timeout=1, paused=0, stalled=0)
    added(live, 4, 0.1).failed(verdict)
    client = TestClient(Dashboard(live))
    answer = client.get("/connections.json").json()
    answer["connections"] += client.get("/connections.json?number=1").json()["connections"]
    return answer


@pytest.mark.parametrize(
    ("heading", "find"),
    [
        ("The answer", lambda told: [told]),
        ("`process`", lambda told: [told["process"]]),
        ("`lately`", lambda told: [told["lately"]]),
        ("Each of `lately.slots`", lambda told: told["lately"]["slots"]),
        ("Each of `failures`", lambda told: told["failures"]),
        ("Each of `connections`", lambda told: told["connections"]),
    ],
)
def test_every_key(told: Any, heading: str, find: Any) -> None:
    entries = find(told)
    keys = documented(heading)
    assert {key for entry in entries for key in entry} == set(keys)
    null = {key for entry in entries for key, value in entry.items() if value is None}
    assert null == {key for key, when in keys.items() if when != "never"}
    [example] = map(json.loads, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    for entry in find(example):
        assert set(entry) == set(keys) - ({"history"} if "recent" in keys else set())


def test_every_field_of_a_verdict(told: Any) -> None:
    section = PAGE.partition("## Verdicts")[2].partition("\n## ")[0]
    for key in told["failures"][0]["verdict"]:
        assert re.search(rf"`(verdict\.)?{key}`", section), key


def test_bounds() -> None:
    [bounds] = re.findall(r'"bounds": \[(.*?)\]', PAGE)
    assert tuple(map(float, bounds.split(","))) == BUCKETS
