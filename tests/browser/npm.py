"""A folder into which npm has installed what tests need, and this project's package as users do."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..support.needs import program

ROOT = Path(__file__).parents[2]
PACKAGE = Path("asgi_keepalive", "browser")
MODULE = ROOT / PACKAGE / "keepalive.js"
MANIFEST: dict[str, Any] = json.loads((ROOT / PACKAGE / "package.json").read_text())

MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}
NODE = f"node-{sys.platform}-{MACHINES.get(platform.machine().lower(), platform.machine())}"
"""The package of a Node that has a WebSocket, which the machine's own may not have."""

TOOLS = {
    **{"esbuild": "*", "terser": "^5", "typescript": "^5", "vite": "^8"},
    **{"webpack": "^5", "webpack-cli": "*", NODE: "^22"},
}
TABLE = re.findall(
    r"^\| \[(.*?)\]\(.*?\) \| ([\d.]+) \|",
    (ROOT / "docs" / "browser-libraries.md").read_text(),
    re.MULTILINE,
)
"""The libraries that take a class of WebSockets, and the versions with which they are tested."""

LIBRARIES = {name: f"~{version}" for name, version in TABLE}
NEEDED = {"graphql": "^16", "yjs": "^13"}
"""What two of the libraries need beside them."""

INSTALL = ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
BUILT = ["__pycache__", "node_modules", "LICENSE", "keepalive.min.js*", "*.tgz"]
"""Patterns of what a maintainer may have in the package's folder."""


def run(*command: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a program, and return what it prints."""
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pack(folder: Path) -> Path:
    """Pack a copy of the package, as a maintainer would publish it; return the archive."""
    package = folder / PACKAGE
    shutil.copytree(ROOT / PACKAGE, package, ignore=shutil.ignore_patterns(*BUILT))
    shutil.copy(ROOT / "LICENSE", folder)
    run(program("npm"), "pack", "--silent", cwd=package)
    [archive] = package.glob("*.tgz")
    return archive


class Npm:
    """A folder below which tests make projects."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules = folder / "node_modules"
        self.minified = self.modules / "asgi-keepalive" / "keepalive.min.js"
        self.archive = pack(folder / "source")
        dependencies = {**TOOLS, **LIBRARIES, **NEEDED, "asgi-keepalive": f"file:{self.archive}"}
        (folder / "package.json").write_text(json.dumps({"dependencies": dependencies}))
        run(program("npm"), *INSTALL, cwd=folder)

    def project(self, name: str, **files: str) -> Path:
        """Make a project of its own; a file's name has `_` for its dot."""
        project = self.folder / name
        project.mkdir()
        (project / "package.json").write_text('{"private": true, "type": "module"}')
        for file, text in files.items():
            (project / file.replace("_", ".")).write_text(text)
        return project

    def node(self, *arguments: str, cwd: Path) -> str:
        """Run Node on a script."""
        return run(str(self.modules / NODE / "bin" / "node"), *arguments, cwd=cwd)

    def tool(self, name: str, *arguments: str, cwd: Path) -> str:
        """Run one of the tools in a project."""
        return self.node(str(self.modules / ".bin" / name), *arguments, cwd=cwd)
