"""Things are broken here with the means of Linux."""

from __future__ import annotations

import sys

import pytest

from ..conftest import PROTOCOLS

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py", "differential/*"]


@pytest.fixture(params=PROTOCOLS)
def ws(request: pytest.FixtureRequest) -> str:
    """One of uvicorn's; some modules here go through the other servers, too."""
    return str(request.param)
