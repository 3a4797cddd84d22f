"""A page and its WebSockets from the same hypercorn, which a browser opens over HTTP/2.

WebKit is not among them: it opens each WebSocket over HTTP/1.1.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import LOOPS
from ..support.process import Process, started
from .app import INTERVAL, TIMEOUT
from .engines import ENGINES, Browser

OPEN = """
    const [name, url, done] = arguments;
    const socket = new WebSocket(url);
    const seen = { heard: [], closes: [] };
    window[name] = Object.assign(seen, { socket });
    socket.addEventListener("message", ({ data }) => seen.heard.push(data));
    socket.addEventListener("close", ({ code, reason }) => seen.closes.push([code, reason]));
    socket.addEventListener("open", () => done());
"""

ASK = """
    const [name, message, done] = arguments;
    const { socket } = window[name];
    socket.addEventListener("message", ({ data }) => done(data), { once: true });
    socket.send(message);
"""

CLOSED = """
    const [name, message, done] = arguments;
    const { socket } = window[name];
    socket.addEventListener("close", ({ code, reason }) => done([code, reason]));
    socket.send(message);
    for (let n = 0; n < 1000; n++) socket.send("more");
"""

FETCHED = """
    const [url, done] = arguments;
    fetch(url, { method: "POST", body: "x".repeat(100000) }).then(({ status }) => done(status));
"""


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    flags = ["--ignore-certificate-errors"] if request.param == "chromium" else []
    with ENGINES[request.param](*flags) as browser:
        yield browser


@pytest.fixture(params=LOOPS)
def server(request: pytest.FixtureRequest, certificate: tuple[Any, Path]) -> Iterator[Process]:
    pem = str(certificate[1])
    command = [sys.executable, "-m", "hypercorn", "--bind", "127.0.0.1:PORT"]
    command += ["--worker-class", request.param, "--certfile", pem, "--keyfile", pem]
    with started(*command, "tests.browser.app:app") as process:
        yield process
        assert "Traceback" not in process.output


def test_page_and_its_sockets(browser: Browser, server: Process) -> None:
    def run(script: str, *arguments: Any) -> Any:
        return browser.execute_async_script(script, *arguments)

    browser.get(f"https://127.0.0.1:{server.port}/")
    protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol"
    assert browser.execute_script(protocol) == "h2"
    run(OPEN, "idle", "/tell")
    run(OPEN, "other", "/ws?greeting")
    time.sleep(2 * (INTERVAL + TIMEOUT))
    assert run(ASK, "idle", "how is it?") == '["2",true]'
    large = "é" * 300_000
    assert run(ASK, "other", large) == large
    # The application ends one stream while the page still sends.
    assert run(CLOSED, "other", "close") == [4001, "bye"]
    assert run(ASK, "idle", "and now?") == '["2",true]'
    assert run(FETCHED, "/") == 405  # before it has read the body
    assert run(ASK, "idle", "and now?") == '["2",true]'
    assert browser.execute_script("return idle.closes") == []
