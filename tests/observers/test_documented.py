"""The documentation of `connections.json` has all that is told, and so has it of protection."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.security import HTTPBasic
from starlette.requests import Request
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
        ("Each of `processes`", lambda told: told["processes"]),
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


def recipe(part: str, **names: Any) -> Any:
    """Run the block of code with this in it, and return its application."""
    [block] = [one for one in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if part in one]
    app = FastAPI()
    exec(block, {"app": app, "Dashboard": Dashboard, "live": LiveConnections(), **names})
    return app


FILES = "/connections/", "/connections/connections.json?limit=1", "/connections/dashboard.js"


@pytest.mark.parametrize("path", FILES)
def test_basic_authentication(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARD_PASSWORD", "s\xe9cret:")
    client = TestClient(recipe("class BasicAuth"))
    answer = client.get(path)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    for wrong in "", "s\xe9cret", "other":
        assert client.get(path, auth=("staff", wrong)).status_code == 401
    assert client.get(path, auth=("staff", "s\xe9cret:")).status_code == 200


@pytest.mark.parametrize("root_path", ["", "/proxied"])
def test_dependency(root_path: str) -> None:
    async def staff(request: Request) -> None:
        credentials = await HTTPBasic()(request)
        if credentials is None or credentials.password != "secret":
            raise HTTPException(403)

    client = TestClient(recipe("dependencies=[Depends(staff)]", staff=staff), root_path=root_path)
    for path in FILES:
        assert client.get(path).status_code == 401
        assert client.get(path, auth=("staff", "wrong")).status_code == 403
        assert client.get(path, auth=("staff", "secret")).status_code == 200
    client.auth = ("staff", "secret")
    assert "<title>Connections" in client.get("/connections").text  # after the redirect
    for path in "/connectionsx", "/connections/none":
        assert client.get(path).status_code == 404
