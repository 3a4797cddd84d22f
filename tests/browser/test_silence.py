"""What a page sees of a server that falls silent, in real browsers."""

from __future__ import annotations

from ..support.process import Process, started, stopped, uvicorn
from ..support.server import wait_until
from .engines import Browser
from .page import Page
from .proxy import Proxy


class TestSilence:
    def test_stopped_server(self, page: Page, server: Process) -> None:
        page.connect()
        page.connect("plain", cls="WebSocket")
        page.beat()
        since = page.now()
        with stopped(server):
            page.times_out(since)
            assert page.look("mine", "events") == [
                *(["open", 1], ["late", 1], ["error", 3], ["close", 3])
            ]
            assert page.look("plain", "closes") == []
            assert page.look("plain", "socket.readyState") == 1

    def test_network_that_swallows_everything(self, page: Page, server: Process) -> None:
        with Proxy(server.port) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/ws"
            page.connect(url=url)
            page.connect("plain", url=url, cls="WebSocket")
            page.beat()
            since = page.now()
            proxy.swallow()
            page.times_out(since)
            assert page.look("plain", "closes") == []
            assert page.look("plain", "socket.readyState") == 1

    def test_page_that_closes_meanwhile(self, page: Page, server: Process) -> None:
        page.connect()
        page.beat()
        since = page.now()
        with stopped(server):
            page.run("mine.socket.close()")
            page.times_out(since)

    def test_events_that_the_page_makes_up(self, page: Page, server: Process) -> None:
        page.connect()
        page.beat()
        page.run(
            """
            const { socket } = mine;
            for (const type of ["open", "error", "close"]) socket.dispatchEvent(new Event(type));
            const data = "of no server";
            setInterval(() => socket.dispatchEvent(new MessageEvent("message", { data })), 50);
            mine.closes.length = 0;
            """
        )
        assert page.look("mine", "socket.health") == "open"
        since = page.now()
        with stopped(server):
            page.times_out(since)
            assert "of no server" in page.look("mine", "heard")


def test_server_that_is_late(browser: Browser) -> None:
    with started(*uvicorn(app="tests.browser.app:app"), PING_TIMEOUT="3") as server:
        page = Page(browser, server.port)
        page.connect()
        page.beat()
        page.run(
            """
            window.handled = [];
            for (const type of ["late", "recovered"]) {
              mine.socket[`on${type}`] = ({ target }) => handled.push([type, target.health]);
            }
            """
        )
        with stopped(server):
            wait_until(lambda: page.look("mine", "socket.health") == "late")
        wait_until(lambda: page.look("mine", "socket.health") == "open")
        assert page.run("return handled") == [["late", "late"], ["recovered", "open"]]
        assert page.look("mine", "events") == [["open", 1], ["late", 1], ["recovered", 1]]
