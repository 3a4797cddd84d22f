"""Things are broken here with the means of Linux."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ..conftest import PROTOCOLS

if TYPE_CHECKING:
    from .network import Network

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py", "differential/*"]


@pytest.fixture(params=PROTOCOLS)
def ws(request: pytest.FixtureRequest) -> str:
    """One of uvicorn's; some modules here go through the other servers, too."""
    return str(request.param)


@pytest.fixture
def network() -> Iterator[Network]:
    """Hosts behind a router."""
    from .network import Network  # it needs Linux

    network = Network()
    yield network
    network.close()
