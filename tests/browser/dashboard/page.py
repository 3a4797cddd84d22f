"""The page of the dashboard, as a browser shows it."""

from __future__ import annotations

from typing import Any

from selenium.webdriver import ActionChains, Chrome

from ...support.server import wait_until

COLUMNS = [
    *("State", "Client", "Path", "Open for", "Latency", "Recent", "Average", "Last Pong"),
    *("Host", "Process"),
]

CHANGED = """
    const [change] = arguments;
    // Lets the page get other answers.
    const { fetch } = window;
    const changed = new Function("answer", change);
    window.fetch = async (...asked) => {
      const answer = await (await fetch(...asked)).json();
      changed(answer);
      return Response.json(answer);
    };
"""


class Page:
    def __init__(self, browser: Chrome, address: str) -> None:
        self.browser = browser
        browser.get(f"http://{address}")
        wait_until(lambda: self.rows())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def rows(self) -> list[list[str]]:
        """Return the text of each row that there is."""
        found: list[list[str]] = self.run(
            """
            const rows = document.querySelectorAll("#connections tbody tr:not(.space)");
            return [...rows].map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
            """
        )
        return found

    def latencies(self) -> list[float]:
        return [float(row[4].removesuffix(" ms")) for row in self.rows()]

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def focused(self) -> str:
        return str(
            self.run("const { id, innerText } = document.activeElement; return id || innerText")
        )

    def choose(self, state: str) -> None:
        self.run(
            """
            const select = document.querySelector("#state");
            select.value = arguments[0];
            select.dispatchEvent(new Event("change"));
            """,
            state,
        )
