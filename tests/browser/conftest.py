from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..support.process import Process, started, uvicorn
from .engines import ENGINES, Browser
from .npm import Npm
from .page import Page


@pytest.fixture(scope="session", params=ENGINES)
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A browser of each engine."""
    with ENGINES[request.param]() as browser:
        yield browser


@pytest.fixture
def server() -> Iterator[Process]:
    with started(*uvicorn(app="tests.browser.app:app")) as process:
        yield process


@pytest.fixture
def page(browser: Browser, server: Process) -> Page:
    return Page(browser, server.port)


@pytest.fixture(scope="session")
def npm(tmp_path_factory: pytest.TempPathFactory) -> Npm:
    return Npm(tmp_path_factory.mktemp("npm"))
