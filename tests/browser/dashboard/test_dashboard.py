"""The dashboard in a real browser, with two thousand connections."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome, Keys

from ...support.client import PING, PONG, Client
from ...support.process import Process, started, uvicorn
from ...support.server import wait_until
from .app import HOSTILE, OTHERS
from .page import CHANGED, COLUMNS, Page


@pytest.fixture
def server() -> Iterator[Process]:
    with started(*uvicorn(app="tests.browser.dashboard.app:app")) as process:
        yield process


@pytest.fixture
def own(browser: Chrome, server: Process) -> Page:
    return Page(browser, f"127.0.0.1:{server.port}/connections")


def test_a_row_each_slowest_first(page: Page) -> None:
    assert page.run("return location.pathname") == "/connections/"
    columns = page.run(
        "return [...document.querySelectorAll('#connections th')].map((th) => th.innerText.trim())"
    )
    assert [column.partition(" 0")[0] for column in columns] == COLUMNS
    assert page.text("#found") == f"{OTHERS:,} open, slowest first"
    latencies = page.latencies()
    assert latencies == sorted(latencies, reverse=True)
    assert latencies[0] > 390
    state, client, path, _, _, _, smoothed, *_ = page.rows()[0]
    assert (state, client.partition(":")[0]) == ("ok", "192.0.2.1")
    assert re.fullmatch(re.escape(HOSTILE) + r"\d+", path)
    assert re.fullmatch(r"\d+\.\d ms ± \d+\.\d ms", smoothed)
    assert page.browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_totals(page: Page, shared: Process) -> None:
    assert [page.text(f"#{name}") for name in ("open", "late", "failed")] == [
        *(f"{OTHERS:,}", "0", "0")
    ]
    wait_until(lambda: float(page.text("#pings").replace(",", "")) > 100)
    assert page.text("#median").replace("\xa0", " ") == "500 ms"
    numbers = page.run(
        "return [...document.querySelectorAll('#lately .number')].map((cell) => cell.innerText)"
    )
    assert len(numbers) == 16
    by_latency = [int(number.replace(",", "")) for number in numbers]
    assert by_latency[6] == max(by_latency) > 0  # from 200 to 500 ms
    assert page.run("return document.querySelectorAll('.heat path:not([d=\"\"])').length")
    assert page.text("#process") == f"process {shared.popen.pid} on {socket.gethostname()}"


def test_only_what_can_be_seen_is_there(page: Page) -> None:
    height = page.run("return document.querySelector('#connections').offsetHeight")
    assert height > OTHERS * 20
    seen = set()
    for part in 0, 0.3, 0.6, 1:
        page.run(f"scrollTo(0, {part} * document.body.scrollHeight)")

        def is_full() -> Any:
            """Whether the lower part of the window shows a row with something in it."""
            return page.run(
                """
                const there = document.elementFromPoint(600, innerHeight * 0.9).closest("tr");
                return there && there.className !== "space" && there.cells[1].textContent;
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


def test_filter_by_state(page: Page) -> None:
    for state in "new", "late", "unsupported":
        page.choose(state)
        wait_until(lambda: page.text("#found") == f"0 of {OTHERS:,} open, slowest first")
        page.choose("ok")
        wait_until(lambda: page.text("#found") == f"{OTHERS:,} of {OTHERS:,} open, slowest first")
    page.choose("failed")
    wait_until(lambda: page.text("#found") == "0 of the last 0 that failed")
    assert page.rows() == []


def test_a_path_is_never_markup(page: Page) -> None:
    page.run("document.querySelector('#connections button').click()")
    wait_until(lambda: page.text("#details .axis"))
    assert page.text("#details h2").startswith(HOSTILE)
    assert page.run("return document.querySelectorAll('img, td b, h2 b').length") == 0
    assert page.run("return typeof hacked") == "undefined"
    assert page.browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_pause(page: Page) -> None:
    page.run("document.querySelector('#pause').click()")
    wait_until(lambda: page.run("return document.querySelector('#pause').ariaPressed") == "true")
    asked = "return performance.getEntriesByType('resource').length"
    time.sleep(0.5)  # for the look that the click has asked for
    before = page.run(asked)
    time.sleep(1.5)
    assert page.run(asked) == before
    page.run("document.querySelector('#pause').click()")
    wait_until(lambda: page.run(asked) > before)


def test_another_process_answers(page: Page, shared: Process) -> None:
    page.run(CHANGED, "answer.process.pid = 1")
    wait_until(lambda: page.text("#process").startswith("process 1 on "))
    assert page.text("#process").endswith("1 other answered before: each shows its own connections")


def test_behind_basic_authentication(browser: Chrome, shared: Process) -> None:
    """The name and the password may stand in the URL."""
    page = Page(browser, f"staff:secret@127.0.0.1:{shared.port}/protected/")
    assert page.text("#trouble") == ""


def test_it_updates_itself(own: Page, server: Process) -> None:
    with Client(server.port, path="/real").open() as client:
        client.send(PONG, client.expect(PING))
        client.expect(PING)  # and this one is not answered
        wait_until(lambda: own.rows()[0][0] == "late")
        state, address, path, *_ = own.rows()[0]
        assert (state, address, path) == ("late", f"127.0.0.1:{client.port}", "/real")
        wait_until(lambda: own.text("#late") == "1")
        assert own.text("#open") == f"{OTHERS + 1:,}"
        assert own.browser.title == "1 late | Connections"
        own.run("document.querySelector('#connections button').click()")
        wait_until(lambda: own.text("#details .note") == "Its Pong is overdue.")
        wait_until(lambda: own.text("#details .state") == "failed")
        assert re.fullmatch(r"silent: nothing has come for \d\.?\d* s", own.text("#details .note"))
        assert re.search(r"waited\s+5\.?\d*\s", own.text("#details .verdict"))
        assert own.text("#details .times").endswith("failed")
        wait_until(lambda: (own.text("#open"), own.text("#late")) == (f"{OTHERS:,}", "0"))
        assert own.text("#reasons").replace("\xa0", " ") == "1 silent"
        own.press(Keys.ESCAPE)
        own.choose("failed")
        wait_until(lambda: own.text("#found") == "1 of the last 1 that failed")
        [[verdict, _, path, *_, evidence, failed, _, process]] = own.rows()
        assert (verdict, path) == ("silent", "/real")
        assert evidence.startswith("nothing has come for ")
        assert failed.endswith(" ago")
        assert process == str(server.popen.pid)


def test_one_that_is_closed(own: Page, server: Process) -> None:
    with Client(server.port, path="/real").open():
        own.press("/", "/real")
        wait_until(lambda: [row[2] for row in own.rows()] == ["/real"])
        own.run("document.querySelector('#connections button').click()")
    wait_until(lambda: own.text("#details .state") == "closed")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_it_says_when_the_server_has_gone(own: Page, server: Process, how: signal.Signals) -> None:
    assert own.run("return document.body.className") == ""
    server.popen.send_signal(how)
    try:
        wait_until(lambda: own.run("return document.body.className") == "stale", timeout=20)
        assert "this is from" in own.text("#trouble")
    finally:
        server.popen.send_signal(signal.SIGCONT)
