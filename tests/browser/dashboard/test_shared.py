"""The dashboard of two processes, which share a Redis, in a real browser."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from selenium.webdriver import Chrome, Keys

from ...support.client import PING, PONG, Client
from ...support.process import Process, started, uvicorn
from ...support.redis import RedisServer, redis_server
from ...support.server import wait_until
from .page import CHANGED, COLUMNS, Page
from .test_for_people import is_readable

HOST = socket.gethostname()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def servers(
    redis: RedisServer, request: pytest.FixtureRequest
) -> Iterator[tuple[Process, Process]]:
    """Two processes; a test may say after how many seconds connections are failed."""
    command = uvicorn(app="tests.browser.dashboard.shared_app:app")
    environment = {"REDIS_URL": redis.url, "PING_TIMEOUT": getattr(request, "param", "60")}
    with started(*command, **environment) as one, started(*command, **environment) as other:
        yield one, other


@pytest.fixture
def page(browser: Chrome, servers: tuple[Process, Process]) -> Iterator[Page]:
    """The page of one process, with a connection of each, which answer one Ping and no more."""
    with ExitStack() as stack:
        for server in servers:
            client = stack.enter_context(Client(server.port, path="/real").open())
            client.send(PONG, client.expect(PING))
        yield Page(browser, f"127.0.0.1:{servers[0].port}/connections")


def processes(page: Page) -> list[str]:
    return sorted(row[-1] for row in page.rows())


@pytest.mark.parametrize("servers", ["6"], indirect=True)
def test_of_all_processes(page: Page, servers: tuple[Process, Process]) -> None:
    one, other = (str(server.popen.pid) for server in servers)
    wait_until(lambda: processes(page) == sorted([one, other]))
    assert [row[-2] for row in page.rows()] == [HOST, HOST]
    assert page.text("#process") == "2 processes on 1 host"
    assert page.text("#where") == f", of process {one} on {HOST} alone"
    page.press("/", other)
    wait_until(lambda: processes(page) == [other])
    page.run("document.querySelector('#connections button').click()")
    assert f"process {other} on {HOST}" in page.text("#details .facts")
    wait_until(lambda: page.text("#details .note") == "Its Pong is overdue.")
    assert page.text("#details .times span:last-child") == "the last"
    wait_until(lambda: page.text("#details .state") == "failed")
    assert f"process {other} on {HOST}" in page.text("#details .facts")
    page.press(Keys.ESCAPE)
    page.choose("failed")
    wait_until(lambda: processes(page) == [other])
    wait_until(lambda: page.text("#failed") == "2")
    assert page.text("#found") == "1 of the last 2 that failed"
    assert page.browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_a_process_without_connections_has_no_chart(page: Page) -> None:
    seen = "return ['#lately', '#median'].map((id) => document.querySelector(id).checkVisibility())"
    assert page.run(seen) == [True, True]
    page.run(CHANGED, "answer.lately.slots = []")
    wait_until(lambda: page.run(seen) == [False, False])


def test_redis_is_away(page: Page, servers: tuple[Process, Process], redis: RedisServer) -> None:
    wait_until(lambda: len(page.rows()) == 2)
    redis.kill()
    wait_until(lambda: "this is its last answer" in page.text("#trouble"))
    assert len(page.rows()) == 2
    assert page.run("return document.body.className") == ""
    redis.start()
    wait_until(lambda: page.text("#trouble") == "")
    wait_until(lambda: page.text("#process") == "2 processes on 1 host")


@pytest.mark.parametrize(
    ("width", "hidden"),
    [
        (1400, set()),
        (1200, {"Open for", "Host"}),
        (1000, {"Open for", "Host", "Average"}),
        (480, {"Open for", "Host", "Average", "Client", "Last Pong", "Process"}),
    ],
)
def test_wide_and_narrow(page: Page, width: int, hidden: set[str]) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        is_readable(page, "body")
        widths = page.run(
            "return [...document.querySelectorAll('#connections th')].map((th) => th.offsetWidth)"
        )
        shown = dict(zip(COLUMNS, widths, strict=True))
        assert {name for name, there in shown.items() if not there} == hidden
        assert shown["Path"] >= 140
        assert page.run("return document.documentElement.scrollWidth - innerWidth") <= 0
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
