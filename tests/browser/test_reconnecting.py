"""Pages that reconnect, in real browsers."""

from __future__ import annotations

import re

from ..support.process import Process, started, stopped, uvicorn
from ..support.server import wait_until
from .engines import Browser
from .page import Page
from .proxy import Proxy


def test_recipe_of_the_documentation(page: Page, server: Process) -> None:
    page.follow_recipe()
    wait_until(lambda: page.run("return shown.length") == 1)  # the greeting
    with stopped(server):
        wait_until(lambda: page.run("return draws"))  # how long it waits
    wait_until(lambda: page.run("return shown.length") == 2, timeout=15)


def test_attempt_that_hangs(page: Page, server: Process) -> None:
    """What was tried while the network was silent gets no answer after it has healed either."""
    with Proxy(server.port) as proxy:
        page.run(
            """
            KeepaliveWebSocket.connectTimeout = 0.5;
            window.closes = [];
            window.attempts = 0;
            const [url] = arguments;
            (function reconnect() {
              attempts++;
              const socket = (window.latest = new KeepaliveWebSocket(url));
              socket.onclose = ({ code, reason }) => {
                closes.push([code, reason]);
                setTimeout(reconnect, 50);
              };
            })();
            """,
            f"ws://127.0.0.1:{proxy.port}/ws",
        )
        wait_until(lambda: page.run("return latest.latency"))
        proxy.swallow()
        wait_until(lambda: page.run("return attempts") == 4)
        proxy.heal()
        wait_until(lambda: page.run("return latest.latency"))
    closes = page.run("return closes")
    assert closes[:2] == [[1006, "keepalive timeout"], [1006, "connect timeout"]]


def test_chat_shows_the_health_of_its_connection(browser: Browser) -> None:
    settings = {"PING_INTERVAL": "0.5", "PING_TIMEOUT": "1"}
    with started(*uvicorn(app="examples.fastapi_app:app"), **settings) as server:
        browser.get(f"http://127.0.0.1:{server.port}/?name=alice")

        def shows(what: str, words: str) -> None:
            script = f"return document.querySelector('{what}').innerText"
            wait_until(lambda: re.search(words, browser.execute_script(script)))

        measured = r"\d\.\d ms"
        shows("#health", rf"^latency {measured}$")
        shows("tbody", rf"^alice\s+{measured}$")
        with stopped(server):
            shows("#health", r"^disconnected \(1006 keepalive timeout\)")
        shows("#health", rf"^latency {measured}$")
        shows("#log", r"joined\n(.*\n)*.*joined")  # again
