"""Pages that reconnect, in real browsers."""

from __future__ import annotations

import re
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from ..support.needs import program
from ..support.process import Process, started, uvicorn
from ..support.server import wait_until
from .engines import Browser
from .page import Page
from .proxy import Proxy


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


def test_reconnect_through_partysocket(browser: Browser, partysocket: Path) -> None:
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
        server.popen.send_signal(signal.SIGSTOP)
        try:
            shows("#health", r"^disconnected \(1006 keepalive timeout\)")
        finally:
            server.popen.send_signal(signal.SIGCONT)
        shows("#health", rf"^latency {measured}$")
        shows("#log", r"joined\n(.*\n)*.*joined")  # again
