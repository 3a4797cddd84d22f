"""The lines of `docs/browser-libraries.md`, in a page that Vite builds and Chromium shows."""

from __future__ import annotations

import queue
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ..support.process import Process, started, uvicorn
from .engines import chromium
from .npm import LIBRARIES, ROOT, Npm

pytestmark = pytest.mark.timeout(300)

PATIENCE = 20
"""Seconds until a library counts as one that does not connect."""

LIFETIME, RECONNECT_AFTER = 1.0, 1.0
"""Seconds to the end of a connection whose server restarts, and from there to the next one."""

DOCS = (ROOT / "docs" / "browser-libraries.md").read_text()
NAMED = r"(?:@\w+/)?([\w.-]+):?\n\n```js\n(.*?)```"
LINES = dict(re.findall(f"^### {NAMED}", DOCS, re.M | re.S))
"""What the documentation says, by the library's name without its scope."""

[PLANNED] = re.findall(r"^## Planned ends\n.*", DOCS, re.M | re.S)
[LATEST] = re.findall(r"```js\n(let latest;\n.*?)```", PLANNED, re.S)
PLANNED_LINES = dict(re.findall(f"^With {NAMED}", PLANNED, re.M | re.S))
"""The same for libraries that wait as long as the server has said."""

STARTS = {
    "actioncable": "consumer.connect();",
    "centrifuge": "centrifuge.connect();",
    "graphql-ws": "client.subscribe({ query: 'subscription { a }' }, { error: console.error });",
    "phoenix": "socket.connect();",
    "rxjs": "messages.subscribe();",
    "signalr": "connection.start();",
    "stompjs": "client.reconnectDelay = 500; client.activate();",
}
"""How a connection begins, where making an object is not enough."""

SETUP = {
    "actioncable": """
        import { ConnectionMonitor } from "@rails/actioncable";
        ConnectionMonitor.staleThreshold = 1;
    """,
    "y-websocket": """
        import { Doc } from "yjs";
        const doc = new Doc();
    """,
}

SCHEMES = {"signalr": "http", "socket.io-client": "http"}
PATHS = {"socket.io-client": ""}  # elsewhere it would be a namespace

MODULE = """
import { KeepaliveWebSocket as Original } from "asgi-keepalive";

const seen = (window.seen["NAME"] = { latencies: 0, reasons: [] });
class KeepaliveWebSocket extends Original {
  constructor(...args) {
    super(...args);
    this.addEventListener("latency", () => seen.latencies++);
    this.addEventListener("close", ({ reason }) => seen.reasons.push(reason));
  }
}
const url = `SCHEME://${location.host}/PATH`;
"""


def module(name: str, lines: str) -> str:
    """Return a module that connects through a library."""
    setup = MODULE.replace("NAME", name).replace("PATH", PATHS.get(name, name))
    setup = setup.replace("SCHEME", SCHEMES.get(name, "ws"))
    return "\n".join([setup, SETUP.get(name, ""), lines, STARTS.get(name, "")])


def build(npm: Npm, project_name: str, modules: dict[str, str]) -> Path:
    """Have Vite build a page of modules; return its folder."""
    project = npm.project(project_name)
    imports = [f'import("./{name}.js");' for name in modules]
    (project / "main.js").write_text("\n".join(["window.seen = {};", *imports]))
    for name, text in modules.items():
        (project / f"{name}.js").write_text(text)
    (project / "index.html").write_text('<script type="module" src="/main.js"></script>')
    npm.tool("vite", "build", cwd=project)
    return project / "dist"


class Outage:
    """All libraries in one page, whose server falls silent for a while."""

    def __init__(self, npm: Npm) -> None:
        modules = {name: module(name, lines) for name, lines in LINES.items()}
        self.page = build(npm, "vite", modules)
        self.connected: Counter[str] = Counter()
        self.plain: set[str] = set()
        self.seen: dict[str, Any] = {}

    def run(self) -> None:
        with (
            started(*uvicorn(app="tests.browser.libraries_app:app"), PAGE=str(self.page)) as server,
            chromium() as browser,
        ):
            browser.get(f"http://127.0.0.1:{server.port}/")

            def all_see(what: str) -> bool:
                self.seen = browser.execute_script("return window.seen")
                return all(self.seen.get(name, {}).get(what) for name in LINES)

            self.hear(server, until=lambda: all_see("latencies"))
            server.popen.send_signal(signal.SIGSTOP)
            self.hear(server, until=lambda: all_see("reasons"))
            self.connected.clear()
            server.popen.send_signal(signal.SIGCONT)
            self.hear(server, until=lambda: len(self.connected) == len(LINES))

    def hear(self, server: Process, until: Callable[[], bool]) -> None:
        """Hear of handshakes, until something is so, or for long enough."""
        end = time.monotonic() + PATIENCE
        while not until() and time.monotonic() < end:
            with suppress(queue.Empty):
                told = server.told(timeout=0.1)
                self.connected[told["name"]] += 1
                if not told["asks"]:
                    self.plain.add(told["name"])


@pytest.fixture(scope="module")
def outage(npm: Npm) -> Outage:
    outage = Outage(npm)
    outage.run()
    return outage


@pytest.mark.parametrize("name", LINES)
def test_connects_again_after_the_verdict(outage: Outage, name: str) -> None:
    assert outage.seen[name]["latencies"] > 0
    assert outage.seen[name]["reasons"][0] == "keepalive timeout"
    assert outage.connected[name] > 0
    assert name not in outage.plain


@pytest.fixture(scope="module")
def gaps(npm: Npm) -> dict[str, float]:
    """Seconds from one handshake of each library to the next, if its own wait is none."""
    own = "Math.random = () => 0;"
    modules = {
        name: module(name, "\n".join([own, LATEST, lines])) for name, lines in PLANNED_LINES.items()
    }
    page = build(npm, "planned", modules)
    server = uvicorn(app="tests.browser.libraries_app:app")
    handshakes: dict[str, list[float]] = {name: [] for name in modules}
    times = {"LIFETIME": str(LIFETIME), "RECONNECT_AFTER": str(RECONNECT_AFTER)}
    with started(*server, PAGE=str(page), **times) as process, chromium() as browser:
        browser.get(f"http://127.0.0.1:{process.port}/")
        while min(map(len, handshakes.values())) < 2:
            told = process.told(PATIENCE)
            handshakes[told["name"]].append(told["at"])
    return {name: second - first for name, (first, second, *_) in handshakes.items()}


@pytest.mark.parametrize("name", PLANNED_LINES)
def test_comes_back_when_it_is_told(gaps: dict[str, float], name: str) -> None:
    assert gaps[name] > LIFETIME + RECONNECT_AFTER - 0.05


def test_table_has_every_library() -> None:
    assert sorted(name.rpartition("/")[2] for name in LIBRARIES) == sorted(LINES)
