"""The dashboard in a real browser, with two thousand connections."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome

from ..support.client import PING, PONG, Client
from ..support.process import Process, started, uvicorn
from ..support.server import wait_until
from .dashboard_app import OTHERS
from .test_chromium import chromium

COLUMNS = ["State", "Client", "Path", "Age", "Latency", "Recent", "Smoothed", "Last Pong"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium("--window-size=1200,800") as chrome:
        yield chrome


@pytest.fixture
def server() -> Iterator[Process]:
    with started(*uvicorn(app="tests.browser.dashboard_app:app")) as process:
        yield process


class Page:
    def __init__(self, browser: Chrome, port: int) -> None:
        self.browser = browser
        browser.get(f"http://127.0.0.1:{port}/connections")
        wait_until(lambda: self.rows())

    def run(self, script: str) -> Any:
        return self.browser.execute_script(script)

    def text(self, selector: str) -> str:
        return str(self.run(f"return document.querySelector('{selector}').innerText"))

    def rows(self) -> list[list[str]]:
        """Return the text of each row that there is."""
        found: list[list[str]] = self.run(
            """
            const rows = document.querySelectorAll("#connections tbody tr:not(.space)");
            return [...rows].map((row) => [...row.cells].map((cell) => cell.textContent));
            """
        )
        return found

    def latencies(self) -> list[float]:
        return [float(row[4].removesuffix(" ms")) for row in self.rows()]


@pytest.fixture
def page(browser: Chrome, server: Process) -> Page:
    return Page(browser, server.port)


def test_a_row_each_slowest_first(page: Page) -> None:
    assert page.run("return location.pathname") == "/connections/"
    columns = page.run(
        "return [...document.querySelectorAll('#connections th')].map((th) => th.innerText)"
    )
    assert columns == COLUMNS
    assert page.text("#summary") == f"{OTHERS:,} open, 0 late; slowest first"
    latencies = page.latencies()
    assert latencies == sorted(latencies, reverse=True)
    assert latencies[0] > 390
    state, client, path, _, _, _, smoothed, _ = page.rows()[0]
    assert (state, client.partition(":")[0]) == ("ok", "192.0.2.1")
    assert re.fullmatch(r"/others/<b>\d+", path)  # as text
    assert re.fullmatch(r"\d+\.\d ms ± \d+\.\d ms", smoothed)
    points = page.run("return document.querySelector('polyline').getAttribute('points')")
    assert len(points.split()) >= 8
    assert page.browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_only_what_can_be_seen_is_there(page: Page) -> None:
    height = page.run("return document.querySelector('#connections').offsetHeight")
    assert height > OTHERS * 20
    seen = set()
    for part in 0, 0.3, 0.6, 1:
        page.run(f"scrollTo(0, {part} * document.body.scrollHeight)")

        def is_full() -> Any:
            """Whether the middle of the window shows a row with something in it."""
            return page.run(
                """
                const there = document.elementFromPoint(600, innerHeight / 2).closest("tr");
                return there.className !== "space" && there.cells[1].textContent;
                """
            )

        wait_until(is_full)
        assert len(page.rows()) < 100
        seen.add(is_full())
    assert len(seen) == 4


def test_it_stays_smooth(page: Page) -> None:
    """Frames come on while the page updates itself and is scrolled."""
    gaps = page.browser.execute_async_script(
        """
        const [done] = arguments;
        const gaps = [];
        let last = performance.now();
        function frame(now) {
          gaps.push(now - last);
          last = now;
          scrollBy(0, 40);
          if (gaps.length < 150) requestAnimationFrame(frame);
          else done(gaps);
        }
        requestAnimationFrame(frame);
        """
    )
    # It updates itself all the while, so work that grew with what cannot be seen would show.
    assert sorted(gaps)[-10] < 100


def test_it_updates_itself(page: Page, server: Process) -> None:
    with Client(server.port, path="/real").open() as client:
        client.send(PONG, client.expect(PING))
        client.expect(PING)  # and this one is not answered
        wait_until(lambda: page.rows()[0][0] == "late")
        state, address, path, *_ = page.rows()[0]
        assert (state, address, path) == ("late", f"127.0.0.1:{client.port}", "/real")
        assert page.text("#summary") == f"{OTHERS + 1:,} open, 1 late; slowest first"
        assert page.run("return document.querySelector('#failures').hidden") is True
        wait_until(lambda: page.text("#failures").startswith("1 timed out lately"))
        assert page.text("#summary") == f"{OTHERS:,} open, 0 late; slowest first"
        page.run("document.querySelector('#failures').open = true")
        assert re.search(r"/real\s+silent: nothing has come for \d", page.text("#failures"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_it_says_when_the_server_has_gone(page: Page, server: Process, how: signal.Signals) -> None:
    assert page.run("return document.body.className") == ""
    server.popen.send_signal(how)
    try:
        wait_until(lambda: page.run("return document.body.className") == "stale", timeout=20)
        assert "this is from" in page.text("#summary")
    finally:
        server.popen.send_signal(signal.SIGCONT)
