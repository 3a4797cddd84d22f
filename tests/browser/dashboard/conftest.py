from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from ...support.process import Process, started, uvicorn
from ..engines import chromium
from .page import Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium("--window-size=1200,800") as chrome:
        yield chrome


@pytest.fixture(scope="module")
def shared() -> Iterator[Process]:
    with started(*uvicorn(app="tests.browser.dashboard.app:app")) as process:
        yield process


@pytest.fixture
def page(browser: Chrome, shared: Process) -> Page:
    """The page of a server that nobody else changes."""
    return Page(browser, f"127.0.0.1:{shared.port}/connections")
