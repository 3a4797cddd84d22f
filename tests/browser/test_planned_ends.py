"""Pages whose server says when to come back, in real browsers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from ..support.process import Process, started, uvicorn
from ..support.server import wait_until
from .engines import Browser
from .page import Page


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    """A server whose heartbeats are the application's own."""
    with started(*uvicorn(app="tests.browser.app:plain")) as process:
        yield process


def restarting(**told: object) -> str:
    """Return the URL of a connection that is told this, and then ended."""
    return f"/restart?told={quote(json.dumps(told))}"


def test_page_is_told(page: Page) -> None:
    page.run(
        """
        const socket = new KeepaliveWebSocket(arguments[0]);
        window.told = [socket.reconnectAfter];
        socket.onlatency = () => told.push(socket.reconnectAfter);
        socket.onclose = ({ code, reason }) => told.push(socket.reconnectAfter, code, reason);
        """,
        restarting(reconnectAfter=3.25),
    )
    wait_until(lambda: len(page.run("return told")) == 6)
    *told, code, reason = page.run("return told")
    assert told == [None, None, 3.25, 3.25]
    # WebKitGTK takes this code for an error.
    assert (code, reason) in [(1012, "service restart"), (1006, "")]


@pytest.mark.parametrize(
    ("settings", "longest"), [({"max_age": 0.5}, 0), ({"drain_window": 0.5}, 0.5)]
)
def test_server_tells(browser: Browser, settings: dict[str, float], longest: float) -> None:
    command = uvicorn(app="tests.browser.app:app")
    with started(*command, SETTINGS=json.dumps(settings)) as process:
        page = Page(browser, process.port)
        page.connect()
        if "drain_window" in settings:
            process.popen.terminate()
        wait_until(lambda: page.look("mine", "closes"))
        assert 0 <= page.look("mine", "socket.reconnectAfter") <= longest


def test_recipe_renews_what_is_too_old(browser: Browser) -> None:
    command = uvicorn(app="tests.browser.app:app")
    with started(*command, SETTINGS='{"max_age": 0.5}') as process:
        page = Page(browser, process.port)
        page.follow_recipe()
        wait_until(lambda: page.run("return shown.length") >= 3)
        assert page.run("return draws") == 0


class TestRecipe:
    def test_waits_as_long_as_it_is_told(self, page: Page) -> None:
        page.follow_recipe(restarting(reconnectAfter=0.5))
        wait_until(lambda: page.run("return shown.length") == 3)
        first, second, third = page.run("return shown")
        assert min(second - first, third - second) > 490
        assert page.run("return draws") == 0

    @pytest.mark.parametrize("after", [0, -1, "soon"])
    def test_comes_back_at_once(self, page: Page, after: object) -> None:
        """Nonsense, which no server tells, harms no more than a wait of 0."""
        page.follow_recipe(restarting(reconnectAfter=after))
        wait_until(lambda: page.run("return shown.length") >= 3)
        assert page.run("return draws") == 0

    def test_backs_off_if_it_is_told_nothing(self, page: Page) -> None:
        page.follow_recipe(restarting())
        wait_until(lambda: page.run("return draws") == 2)
        assert page.run("return shown.length") == 2
