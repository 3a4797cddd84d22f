"""A tab that its browser freezes.

Of the engines only Chromium can be told to freeze one, by its DevTools protocol.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from ..support.process import Process, stopped
from ..support.server import wait_until
from .app import INTERVAL, TIMEOUT
from .engines import chromium
from .page import LATE, TIMED_OUT, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    # Newer ones close the connections of a frozen tab themselves, which leaves nothing to notice.
    with chromium("--disable-features=DisconnectWebSocketOnBFCache") as chrome:
        yield chrome


def set_state(browser: Chrome, state: str) -> None:
    """Freeze the tab, or wake it."""
    browser.execute_cdp_cmd("Page.setWebLifecycleState", {"state": state})
    if state == "active":
        browser.execute_cdp_cmd("Page.bringToFront", {})


class TestFrozenTab:
    def test_lives_if_its_server_does(self, browser: Chrome, page: Page) -> None:
        page.connect()
        page.beat()
        page.run("window.ticks = 0; setInterval(() => ticks++, 100)")
        set_state(browser, "frozen")
        time.sleep(2 * (INTERVAL + TIMEOUT))
        set_state(browser, "active")
        assert page.run("return ticks") < 10  # so it was frozen
        time.sleep(2 * (INTERVAL + TIMEOUT))
        assert page.look("mine", "closes") == []
        assert page.look("mine", "socket.readyState") == 1

    def test_notices_after_waking_that_its_server_has_gone(
        self, browser: Chrome, page: Page, server: Process
    ) -> None:
        page.connect()
        page.beat()
        set_state(browser, "frozen")
        with stopped(server):
            time.sleep(2 * (INTERVAL + TIMEOUT))
            set_state(browser, "active")
            since = time.monotonic()
            wait_until(lambda: page.look("mine", "closes"))
            assert time.monotonic() - since < INTERVAL + TIMEOUT + LATE
            assert page.look("mine", "closes") == [TIMED_OUT]

    def test_as_a_plain_one_does_in_a_browser_that_closes_it(self, server: Process) -> None:
        with chromium() as browser:
            page = Page(browser, server.port)
            page.connect()
            page.connect("plain", cls="WebSocket")
            set_state(browser, "frozen")
            time.sleep(INTERVAL)
            set_state(browser, "active")
            time.sleep(1)
            closes = [page.look(name, "closes") for name in ("mine", "plain")]
            assert closes[0] == closes[1] != [TIMED_OUT]
