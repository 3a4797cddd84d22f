"""The module as its users get it: its size, its types, its logic."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ..support.needs import program

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "asgi_keepalive" / "browser" / "keepalive.js"

USE = """
import { KeepaliveWebSocket } from "./keepalive.js";

const Class: typeof WebSocket = KeepaliveWebSocket;
const socket = new KeepaliveWebSocket("/ws", ["chat"]);
const plain: WebSocket = socket;
const latency: number | null = socket.latency;
socket.onclose = ({ code, reason, wasClean }) => [code, reason, wasClean];
const health: "open" | "late" | null = socket.health;
KeepaliveWebSocket.connectTimeout = null;
KeepaliveWebSocket.connectTimeout = 5;
socket.onlate = (event) => event.target.health;
socket.addEventListener("latency", (event) => event.target.latency?.toFixed(3));
socket.addEventListener("message", (event) => event.data);
socket.addEventListener("recovered", function () {
  this.send(this.health ?? "");
});
function once<K extends keyof WebSocketEventMap>(type: K, listener: (event: WebSocketEventMap[K]) => void) {
  socket.addEventListener(type, listener, { once: true });
  plain.addEventListener(type, listener);
}
once("close", ({ code }) => code);
// @ts-expect-error
socket.latency = 1;
// @ts-expect-error
socket.health = "open";
// @ts-expect-error
KeepaliveWebSocket.connectTimeout = "5";
// @ts-expect-error
socket.onlate = 1;
export { Class, plain, latency, health };
"""


def run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the registry of npm gives: a minifier and a compiler."""
    directory = tmp_path_factory.mktemp("tools")
    packages = {"dependencies": {"terser": "^5", "typescript": "^5"}}
    (directory / "package.json").write_text(json.dumps(packages))
    run(program("npm"), "install", "--silent", "--no-audit", "--no-fund", cwd=directory)
    return directory / "node_modules" / ".bin"


@pytest.mark.timeout(300)
def test_size(tools: Path) -> None:
    minified = run(str(tools / "terser"), str(MODULE), "--module", "--compress", "--mangle")
    assert len(minified.encode()) <= 3 * 1024


@pytest.mark.timeout(300)
def test_types(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "use.ts").write_text(USE)
    for name in "keepalive.js", "keepalive.d.ts":
        (tmp_path / name).write_text((MODULE.parent / name).read_text())
    flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom"]
    flags += ["--module", "esnext", "--moduleResolution", "bundler"]
    run(str(tools / "tsc"), *flags, "use.ts", cwd=tmp_path)


def test_logic() -> None:
    run(program("node"), "--test", "tests/browser/keepalive.test.mjs")
