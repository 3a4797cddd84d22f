"""A page in a browser, and what a test finds out about its WebSockets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..support.server import wait_until
from .app import INTERVAL, TIMEOUT
from .engines import Browser

ROOT = Path(__file__).parents[2]

LATE = 2.0
"""Seconds by which a loaded machine may be late."""

TIMED_OUT = {"code": 1006, "reason": "keepalive timeout", "wasClean": False}

SETUP = """
    const [done] = arguments;
    window.connect = (name, url, protocols, Class) => {
      const socket = new Class(url, protocols);
      const seen = { opened: 0, heard: [], closes: [], events: [] };
      window[name] = Object.assign(seen, { socket });
      for (const type of ["open", "late", "recovered", "error", "close"]) {
        socket.addEventListener(type, () => seen.events.push([type, socket.readyState]));
      }
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


class Page:
    """A page of a server, with functions to connect and to look."""

    def __init__(self, browser: Browser, port: int) -> None:
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

    def follow_recipe(self, url: str = "/ws") -> None:
        """Connect as the documentation says; note what is shown, and each draw of a wait."""
        text = (ROOT / "docs" / "browser.md").read_text()
        [recipe] = re.findall(r'<script type="module">\n(.*?)</script>', text, re.S)
        assert recipe.count('"/ws"') == 1
        self.run(
            """
            window.shown = [];
            window.show = () => shown.push(performance.now());
            const { random } = Math;
            window.draws = 0;
            Math.random = () => {
              draws++;
              return random();
            };
            const script = Object.assign(document.createElement("script"), { type: "module" });
            script.text = arguments[0];
            document.head.append(script);
            """,
            recipe.replace('"/ws"', json.dumps(url)),
        )

    def look(self, name: str, what: str) -> Any:
        return self.run(f"return window[arguments[0]].{what}", name)

    def beat(self, name: str = "mine") -> None:
        """Wait for a heartbeat that tells a latency."""
        wait_until(lambda: self.look(name, "socket.latency") is not None)

    def now(self) -> float:
        """Return the milliseconds of its clock."""
        return float(self.run("return performance.now()"))

    def times_out(self, since: float, name: str = "mine") -> None:
        """Assert that a connection is closed in time, counted from a `now()`."""
        wait_until(lambda: self.look(name, "closes"))
        after = (self.look(name, "closedAt") - since) / 1000
        assert self.look(name, "closes") == [TIMED_OUT]
        assert self.look(name, "socket.readyState") == 3
        assert TIMEOUT - 0.1 < after < INTERVAL + TIMEOUT + LATE
