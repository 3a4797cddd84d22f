"""The page's half as a package: what is in it, and that bundlers, compilers and Node take it."""

from __future__ import annotations

import json
import os
import re
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..support.needs import program
from ..support.process import Process, started, uvicorn
from .npm import MANIFEST, MODULE, ROOT, Npm, run

pytestmark = pytest.mark.timeout(300)

Hears = Callable[[Path], None]
"""Asserts that a script hears of its latency."""

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

IMPORT = 'import { KeepaliveWebSocket } from "asgi-keepalive";'
REQUIRE = 'const { KeepaliveWebSocket } = require("asgi-keepalive");'
MAIN = """
const socket = new KeepaliveWebSocket(process.argv[2] ?? "");
socket.onlatency = ({ target }) => {
  if (target.latency === null) return;
  console.log(`latency ${target.latency.toFixed(3)} s`);
  target.close();
};
"""
"""The rest of a program that ends with the first latency."""

USE = """
import { KeepaliveWebSocket, type KeepaliveEvent } from "asgi-keepalive";
import { KeepaliveWebSocket as Same } from "asgi-keepalive/keepalive.js";
import { KeepaliveWebSocket as Minified } from "asgi-keepalive/keepalive.min.js";

const Class: typeof WebSocket = KeepaliveWebSocket;
const Classes: (typeof KeepaliveWebSocket)[] = [Same, Minified];
const socket = new KeepaliveWebSocket("/ws", ["chat"]);
const plain: WebSocket = socket;
const latency: number | null = socket.latency;
socket.onclose = ({ code, reason, wasClean }) => [code, reason, wasClean];
const health: "open" | "late" | null = socket.health;
const reconnectAfter: number | null = socket.reconnectAfter;
KeepaliveWebSocket.connectTimeout = null;
KeepaliveWebSocket.connectTimeout = 5;
class Patient extends KeepaliveWebSocket {
  static override connectTimeout = 60;
}
const show = ({ target, currentTarget }: KeepaliveEvent): void => {
  const seconds: number | null | undefined = currentTarget?.latency;
  target.send(String(seconds));
};
socket.onlatency = show;
socket.onlate = (event) => event.target.health;
socket.onrecovered = null;
socket.addEventListener("late", show);
socket.removeEventListener("late", show);
socket.addEventListener("latency", (event) => event.target.latency?.toFixed(3));
socket.addEventListener("message", (event) => event.data);
socket.addEventListener("recovered", function () {
  this.send(this.health ?? "");
});
socket.addEventListener("recovered", { handleEvent: (event: Event) => event.type }, { once: true });
type Listener<K extends keyof WebSocketEventMap> = (event: WebSocketEventMap[K]) => void;
function once<K extends keyof WebSocketEventMap>(type: K, listener: Listener<K>) {
  socket.addEventListener(type, listener, { once: true });
  socket.removeEventListener(type, listener);
  plain.addEventListener(type, listener);
}
once("close", ({ code }) => code);
// @ts-expect-error
socket.latency = 1;
// @ts-expect-error
socket.health = "open";
// @ts-expect-error
socket.reconnectAfter = 1;
// @ts-expect-error
KeepaliveWebSocket.connectTimeout = "5";
// @ts-expect-error
socket.onlate = 1;
// @ts-expect-error
once("latency", () => {});
export { Class, Classes, Patient, plain, latency, health, reconnectAfter };
"""

STRICT = {
    **{"strict": True, "exactOptionalPropertyTypes": True, "noUncheckedIndexedAccess": True},
    **{"noImplicitOverride": True, "skipLibCheck": False, "lib": ["es2022", "dom"], "types": []},
    "target": "es2022",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    with started(*uvicorn(app="tests.browser.app:app")) as process:
        yield process


class TestPackage:
    def test_is_that_of_the_python_package(self) -> None:
        semver = re.sub(r"\.?(dev|a|b|rc)(\d+)$", r"-\1.\2", PROJECT["version"])
        assert (MANIFEST["name"], MANIFEST["version"]) == (PROJECT["name"], semver)
        assert MANIFEST["license"] == PROJECT["license"]
        assert MANIFEST["author"] == PROJECT["authors"][0]["name"]
        urls = PROJECT["urls"]
        assert MANIFEST["homepage"] == f"{urls['Documentation']}browser.html"
        assert MANIFEST["bugs"] == urls["Issues"]
        assert MANIFEST["repository"]["url"] == f"git+{urls['Source']}.git"

    def test_files(self, npm: Npm) -> None:
        with tarfile.open(npm.archive) as archive:
            files = {member.name.removeprefix("package/"): member for member in archive}
            described = {"LICENSE", "README.md", "package.json"}
            assert files.keys() == {*described, *MANIFEST["files"]}
            for name, original in ("LICENSE", ROOT / "LICENSE"), ("keepalive.js", MODULE):
                packed = archive.extractfile(files[name])
                assert packed
                assert packed.read() == original.read_bytes()

    @pytest.mark.parametrize("minifier", ["esbuild", "terser"])
    def test_size(self, npm: Npm, minifier: str) -> None:
        if minifier == "esbuild":
            code = npm.tool("esbuild", "--minify", "--format=esm", str(MODULE), cwd=ROOT)
        else:
            code = npm.minified.read_text()
        assert len(code.encode()) <= 3 * 1024

    def test_map(self, npm: Npm) -> None:
        """What it throws names the line of its source."""
        name = f"{npm.minified.name}.map"
        assert npm.minified.read_text().endswith(f"//# sourceMappingURL={name}")
        assert json.loads(npm.minified.with_name(name).read_text())["sources"] == [MODULE.name]
        script = f"""
            import {{ KeepaliveWebSocket }} from "{npm.minified}";
            KeepaliveWebSocket.connectTimeout = 0; // which it refuses
            try {{
              new KeepaliveWebSocket("ws://127.0.0.1/");
            }} catch (error) {{
              console.log(error.stack);
            }}
        """
        flags = ["--enable-source-maps", "--input-type=module", "--eval"]
        stack = npm.node(*flags, script, cwd=npm.folder)
        found = re.search(rf"^    at need \(.*/{MODULE.name}:(\d+):\d+\)$", stack, re.M)
        assert found, stack
        assert "throw" in MODULE.read_text().splitlines()[int(found[1]) - 1]

    def test_logic_of_the_minified_file(self, npm: Npm) -> None:
        environment = {**os.environ, "MODULE": str(npm.minified)}
        run(program("node"), "--test", "tests/browser/keepalive.test.mjs", env=environment)


class TestProgram:
    """A program hears of its latency from a real server, however it was built."""

    @pytest.fixture
    def hears(self, npm: Npm, server: Process) -> Hears:
        def hears(script: Path) -> None:
            output = npm.node(str(script), f"ws://127.0.0.1:{server.port}/ws", cwd=npm.folder)
            assert re.fullmatch(r"latency \d\.\d{3} s\n", output)

        return hears

    @pytest.mark.parametrize(("file", "imports"), [("main_mjs", IMPORT), ("main_cjs", REQUIRE)])
    def test_as_it_is(self, npm: Npm, hears: Hears, file: str, imports: str) -> None:
        project = npm.project(file, **{file: imports + MAIN})
        [script] = project.glob("main.*")
        hears(script)

    @pytest.mark.parametrize(
        ("tool", "flags"),
        [
            ("esbuild", ["main.js", "--bundle", "--minify", "--outdir=dist"]),
            ("webpack", ["--entry=./main.js", "--mode=production"]),
        ],
    )
    def test_bundled(self, npm: Npm, hears: Hears, tool: str, flags: list[str]) -> None:
        project = npm.project(tool, main_js=IMPORT + MAIN)
        npm.tool(tool, *flags, cwd=project)
        script = project / "dist" / "main.js"
        assert "asgi-keepalive=" in script.read_text()
        hears(script)

    def test_unused(self, npm: Npm) -> None:
        project = npm.project("unused", main_js=f"{IMPORT}console.log(1)")
        code = npm.tool("esbuild", "main.js", "--bundle", "--minify", cwd=project)
        assert code == "(()=>{console.log(1);})();\n"

    def test_compiled(self, npm: Npm, hears: Hears) -> None:
        typed = f"{IMPORT}declare const process: {{ argv: string[] }};{MAIN}"
        settings = json.dumps({"compilerOptions": {**STRICT, "module": "nodenext"}})
        project = npm.project("tsc", tsconfig_json=settings, main_ts=typed)
        npm.tool("tsc", cwd=project)
        hears(project / "main.js")


@pytest.mark.parametrize(
    ("file", "module", "resolution", "lib"),
    [
        ("use_ts", "esnext", "bundler", "dom"),
        ("use_ts", "esnext", "bundler", "webworker"),
        ("use_mts", "node16", "node16", "dom"),
        ("use_mts", "nodenext", "nodenext", "dom"),
        ("use_cts", "nodenext", "nodenext", "dom"),
    ],
)
def test_types(npm: Npm, file: str, module: str, resolution: str, lib: str) -> None:
    options = {**STRICT, "module": module, "moduleResolution": resolution, "noEmit": True}
    options["lib"] = ["es2022", lib]
    settings = json.dumps({"compilerOptions": options})
    project = npm.project(f"{file}_{module}_{lib}", tsconfig_json=settings, **{file: USE})
    npm.tool("tsc", cwd=project)
