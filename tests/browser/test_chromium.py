"""The page's half in a real browser: what happens to `KeepaliveWebSocket`, and to a plain one."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from ..support.needs import program
from ..support.process import Process, started, uvicorn
from ..support.server import wait_until
from .app import INTERVAL, TIMEOUT

LATE = 2.0
"""Seconds by which a loaded machine may be late."""

TIMED_OUT = {"code": 1006, "reason": "keepalive timeout", "wasClean": False}

SETUP = """
    const [done] = arguments;
    window.connect = (name, url, protocols, Class) => {
      const socket = new Class(url, protocols);
      const seen = { opened: 0, heard: [], closes: [] };
      window[name] = Object.assign(seen, { socket });
      socket.addEventListener("open", () => { seen.opened++; });
      socket.addEventListener("message", ({ data }) => seen.heard.push(data));
      socket.addEventListener("close", ({ code, reason, wasClean }) => {
        seen.closes.push({ code, reason, wasClean });
        seen.closedAt = performance.now();
      });
    };
    import("/keepalive/keepalive.js").then((module) => {
      Object.assign(window, module);
      done();
    });
"""


@contextmanager
def chromium(*flags: str) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = program("chromium")
    for flag in "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", *flags:
        options.add_argument(flag)
    chrome = Chrome(options=options, service=ChromeService(program("chromedriver")))
    chrome.set_script_timeout(20)
    try:
        yield chrome
    finally:
        chrome.quit()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    # Newer ones close the connections of a frozen tab themselves, which leaves nothing to notice.
    with chromium("--disable-features=DisconnectWebSocketOnBFCache") as chrome:
        yield chrome


@pytest.fixture(scope="module")
def partysocket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """partysocket, as its registry gives it out."""
    directory = tmp_path_factory.mktemp("partysocket")
    pack = [program("npm"), "pack", "--silent", "partysocket@1"]
    subprocess.run(pack, cwd=directory, check=True, timeout=100, capture_output=True)
    [archive] = directory.glob("*.tgz")
    with tarfile.open(archive) as files:
        files.extractall(directory, filter="data")
    return directory / "package" / "dist"


@pytest.fixture
def server() -> Iterator[Process]:
    with started(*uvicorn(app="tests.browser.app:app")) as process:
        yield process


class Page:
    """A page of a server, with functions to connect and to look."""

    def __init__(self, browser: Chrome, port: int) -> None:
        self._browser = browser
        self.port = port
        browser.get(f"http://127.0.0.1:{port}/")
        browser.execute_async_script(SETUP)

    def run(self, script: str, *arguments: Any) -> Any:
        return self._browser.execute_script(script, *arguments)

    def connect(
        self, name: str = "mine", *, url: str = "/ws", cls: str = "KeepaliveWebSocket", **keys: Any
    ) -> None:
        """Connect, and wait for the greeting."""
        protocols = keys.get("protocols", [])
        self.run(f"connect(arguments[0], arguments[1], arguments[2], {cls})", name, url, protocols)
        wait_until(lambda: self.look(name, "heard.length"))

    def look(self, name: str, what: str) -> Any:
        return self.run(f"return window[arguments[0]].{what}", name)

    def beat(self, name: str = "mine") -> None:
        """Wait for a heartbeat that tells a latency."""
        wait_until(lambda: self.look(name, "socket.latency") is not None)


@pytest.fixture
def page(browser: Chrome, server: Process) -> Page:
    return Page(browser, server.port)


def times_out(page: Page, since: float, name: str = "mine") -> None:
    """Assert that a connection is closed in time, counted from a `performance.now()`."""
    wait_until(lambda: page.look(name, "closes"))
    after = (page.look(name, "closedAt") - since) / 1000
    assert page.look(name, "closes") == [TIMED_OUT]
    assert page.look(name, "socket.readyState") == 3
    assert TIMEOUT - 0.1 < after < INTERVAL + TIMEOUT + LATE


def now(page: Page) -> float:
    return float(page.run("return performance.now()"))


class TestHeard:
    def test_heartbeats(self, page: Page) -> None:
        page.connect(url="/ws?a=1")
        page.beat()
        assert 0 < page.look("mine", "socket.latency") < 1
        page.run("mine.socket.send('hello')")
        wait_until(lambda: page.look("mine", "heard.length") == 2)
        assert page.look("mine", "heard") == ["a=1", "hello"]
        assert page.look("mine", "socket.url") == f"ws://127.0.0.1:{page.port}/ws?a=1"

    def test_none_by_a_plain_one(self, page: Page) -> None:
        page.connect(cls="WebSocket")
        time.sleep(3 * INTERVAL)
        assert page.look("mine", "heard") == [""]

    def test_an_idle_connection_lives(self, page: Page) -> None:
        page.connect()
        time.sleep(2 * (INTERVAL + TIMEOUT))
        assert page.look("mine", "closes") == []
        assert page.look("mine", "socket.readyState") == 1


class TestDropIn:
    def test_what_every_websocket_has(self, page: Page) -> None:
        page.connect()
        assert page.look("mine", "socket instanceof WebSocket")
        missing, unequal = page.run(
            """
            const names = Object.keys(WebSocket.prototype);
            return [
              names.filter((name) => !(name in mine.socket)),
              ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].filter(
                (name) => KeepaliveWebSocket[name] !== WebSocket[name]
                  || mine.socket[name] !== WebSocket[name]),
            ];
            """
        )
        assert (missing, unequal) == ([], [])

    def test_handlers(self, page: Page) -> None:
        page.connect()
        page.beat()
        page.run(
            """
            window.handled = [];
            for (const type of ["message", "close"]) {
              mine.socket[`on${type}`] = (event) => {
                handled.push(type, event.data ?? event.code, event.isTrusted);
              };
            }
            mine.socket.send("hello");
            """
        )
        time.sleep(2 * INTERVAL)  # and of heartbeats they see nothing
        page.run("mine.socket.send('close')")
        wait_until(lambda: page.look("mine", "closes"))
        assert page.run("return handled") == ["message", "hello", True, "close", 4001, True]

    def test_subprotocol(self, page: Page) -> None:
        page.connect(protocols=["chat", "other"])
        assert page.look("mine", "socket.protocol") == "chat"

    @pytest.mark.parametrize("kind", ["arraybuffer", "blob"])
    def test_binary(self, page: Page, kind: str) -> None:
        page.connect()
        page.run("mine.socket.binaryType = arguments[0]", kind)
        page.run("mine.socket.send(new Uint8Array([1, 2, 3]))")
        wait_until(lambda: page.look("mine", "heard.length") == 2)
        size, name = page.run(
            """
            const [, data] = mine.heard;
            return [data.size ?? data.byteLength, data.constructor.name];
            """
        )
        assert (size, name.lower()) == (3, kind)

    def test_close_of_the_server(self, page: Page) -> None:
        page.connect()
        page.run("mine.socket.send('close')")
        wait_until(lambda: page.look("mine", "closes"))
        assert page.look("mine", "closes") == [{"code": 4001, "reason": "bye", "wasClean": True}]

    def test_close_of_the_page(self, page: Page) -> None:
        page.connect()
        page.run("mine.socket.close(4002, 'enough')")
        wait_until(lambda: page.look("mine", "closes"))
        assert page.look("mine", "closes")[0]["code"] in (1005, 4002)
        assert page.look("mine", "closes")[0]["wasClean"] is True

    @pytest.mark.parametrize("url", ["http://[", "ws://127.0.0.1:1/#fragment", "ftp://host/"])
    def test_refused_urls(self, page: Page, url: str) -> None:
        mine, theirs = page.run(
            """
            const [url] = arguments;
            return [KeepaliveWebSocket, WebSocket].map((Class) => {
              try {
                new Class(url).close();
                return "none";
              } catch (error) {
                return error.name;
              }
            });
            """,
            url,
        )
        assert mine == theirs

    def test_server_without_the_middleware(self, browser: Chrome) -> None:
        with started(*uvicorn(app="tests.browser.app:plain")) as process:
            page = Page(browser, process.port)
            page.connect(url="/ws?a=1")
            [greeting] = page.look("mine", "heard")
            assert greeting.startswith("a=1&asgi-keepalive=")
            time.sleep(INTERVAL + TIMEOUT + 0.5)
            assert page.look("mine", "closes") == []
            assert page.look("mine", "socket.latency") is None
            page.run("mine.socket.send('hello')")
            wait_until(lambda: page.look("mine", "heard.length") == 2)


class TestSilence:
    def test_stopped_server(self, page: Page, server: Process) -> None:
        page.connect()
        page.connect("plain", cls="WebSocket")
        page.beat()
        since = now(page)
        server.popen.send_signal(signal.SIGSTOP)
        try:
            times_out(page, since)
            assert page.look("plain", "closes") == []
            assert page.look("plain", "socket.readyState") == 1
        finally:
            server.popen.send_signal(signal.SIGCONT)

    def test_network_that_swallows_everything(self, page: Page, server: Process) -> None:
        with Proxy(server.port) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/ws"
            page.connect(url=url)
            page.connect("plain", url=url, cls="WebSocket")
            page.beat()
            since = now(page)
            proxy.swallow()
            times_out(page, since)
            assert page.look("plain", "closes") == []
            assert page.look("plain", "socket.readyState") == 1

    def test_page_that_closes_meanwhile(self, page: Page, server: Process) -> None:
        page.connect()
        page.beat()
        since = now(page)
        server.popen.send_signal(signal.SIGSTOP)
        try:
            page.run("mine.socket.close()")
            times_out(page, since)
        finally:
            server.popen.send_signal(signal.SIGCONT)

    def test_reconnect_through_partysocket(self, browser: Chrome, partysocket: Path) -> None:
        command = uvicorn(app="tests.browser.app:app")
        with started(*command, PARTYSOCKET=str(partysocket)) as server:
            page = Page(browser, server.port)
            browser.execute_async_script(
                """
                const [done] = arguments;
                import("/partysocket/ws.js").then(({ default: ReconnectingWebSocket }) => {
                  class Party extends ReconnectingWebSocket {
                    constructor(url, protocols) {
                      super(url, protocols, {
                        WebSocket: KeepaliveWebSocket,
                        minReconnectionDelay: 100,
                        connectionTimeout: 1000,
                      });
                    }
                  }
                  window.Party = Party;
                  done();
                });
                """
            )
            page.connect(url=f"ws://127.0.0.1:{server.port}/ws", cls="Party")
            page.run("mine.socket.send('before')")
            wait_until(lambda: page.look("mine", "heard.length") == 2)
            server.popen.send_signal(signal.SIGSTOP)
            try:
                # It makes a `close` of its own of every `error`, as of a plain WebSocket's.
                wait_until(lambda: page.look("mine", "closes"))
            finally:
                server.popen.send_signal(signal.SIGCONT)
            wait_until(lambda: page.look("mine", "opened") >= 2, timeout=20)
            page.run("mine.socket.send('again')")
            wait_until(lambda: "again" in page.look("mine", "heard"))


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
        server.popen.send_signal(signal.SIGSTOP)
        try:
            time.sleep(2 * (INTERVAL + TIMEOUT))
            set_state(browser, "active")
            since = time.monotonic()
            wait_until(lambda: page.look("mine", "closes"))
            assert time.monotonic() - since < INTERVAL + TIMEOUT + LATE
            assert page.look("mine", "closes") == [TIMED_OUT]
        finally:
            server.popen.send_signal(signal.SIGCONT)

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


def test_chat_shows_the_health_of_its_connection(browser: Chrome) -> None:
    settings = {"PING_INTERVAL": "0.5", "PING_TIMEOUT": "1"}
    with started(*uvicorn(app="examples.fastapi_app:app"), **settings) as server:
        browser.get(f"http://127.0.0.1:{server.port}/?name=alice")

        def shows(what: str, words: str) -> None:
            script = f"return document.querySelector('{what}').innerText"
            wait_until(lambda: re.search(words, browser.execute_script(script)))

        measured = r"\d\.\d ms"
        shows("#health", rf"^latency {measured}$")
        shows("tbody", rf"^alice\s+{measured}$")
        server.popen.send_signal(signal.SIGSTOP)
        try:
            shows("#health", r"^disconnected \(1006 keepalive timeout\)")
        finally:
            server.popen.send_signal(signal.SIGCONT)
        shows("#health", rf"^latency {measured}$")
        shows("#log", r"joined\n(.*\n)*.*joined")  # again


class Proxy:
    """Passes TCP on, until it swallows everything."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._passing = True
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        for one in self._listening, *self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def swallow(self) -> None:
        self._passing = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += near, far
                for pair in (near, far), (far, near):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._passing:
                    target.sendall(data)
