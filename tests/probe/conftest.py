from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from asgi_keepalive.__main__ import main

Probed = Callable[..., tuple[int, Any]]

QUICK = {
    **{"parallel": 4, "pings": 3, "watch": 0.5, "patience": 0.5},
    **{"idle-limit": 0, "rungs": 3, "timeout": 2},
}


@pytest.fixture
def probed(capsys: pytest.CaptureFixture[str]) -> Probed:
    """Return what probes an URL, and returns the exit status and the report."""

    def probed(url: str, *options: str, **bounds: float) -> tuple[int, Any]:
        bounds = {**QUICK, **{name.replace("_", "-"): value for name, value in bounds.items()}}
        numbers = [part for name, value in bounds.items() for part in (f"--{name}", str(value))]
        status = main(["probe", url, "--json", *numbers, *options])
        return status, json.loads(capsys.readouterr().out)

    return probed
