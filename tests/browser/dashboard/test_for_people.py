"""Whether people can read the dashboard, and use it without a mouse, in windows of three widths."""

from __future__ import annotations

import itertools
import re

import pytest
from selenium.webdriver import Chrome, Keys

from ...support.server import wait_until
from .app import HOSTILE, OTHERS
from .page import CHANGED, COLUMNS, Page

HIDDEN = {1400: {"Host", "Process"}}
HIDDEN[900] = {*HIDDEN[1400], "Open for", "Average"}
HIDDEN[480] = {*HIDDEN[900], "Client", "Last Pong"}

ROLES = {"button", "searchbox", "combobox", "image", "columnheader", "dialog", "RootWebArea"}

TEXTS = """
    const [within] = arguments;
    // Returns texts and where they can be seen: text that is cut ends where its box does.
    const texts = [];
    const walker = document.createTreeWalker(document.querySelector(within), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      const parent = node.parentElement;
      if (!node.data.trim() || !parent.checkVisibility()) continue;
      if (parent.closest("option, #announced")) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      let { left, top, right, bottom } = range.getBoundingClientRect();
      const box = node.parentElement.closest("td, th, button, dd");
      if (box && getComputedStyle(box).overflow === "hidden") {
        const cut = box.getBoundingClientRect();
        [left, right] = [Math.max(left, cut.left), Math.min(right, cut.right)];
      }
      if (bottom < 0 || top > innerHeight || right <= left) continue;
      const style = getComputedStyle(parent);
      let behind = parent;
      while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") {
        behind = behind.parentElement;
      }
      const background = behind ? getComputedStyle(behind).backgroundColor : "rgb(255, 255, 255)";
      texts.push([node.data.trim(), left, top, right, bottom, style.color, background]);
    }
    return [texts, document.documentElement.clientWidth];
"""


def test_all_rows_have_one_scale(page: Page) -> None:
    """What is higher took longer, and as much stands at the same height in every row."""
    seen = page.run(
        """
        const rows = document.querySelectorAll("#connections tbody tr:not(.space)");
        return [...rows].map((row) => {
          const points = row.querySelector("polyline").getAttribute("points").split(" ");
          return [parseFloat(row.cells[4].textContent), parseFloat(points.at(-1).split(",")[1])];
        });
        """
    )
    assert len({latency for latency, _ in seen}) > 3
    for (latency, y), (other, other_y) in itertools.pairwise(seen):
        assert (latency > other) <= (y <= other_y)
        assert (latency == other) <= (y == other_y)


def contrast(colours: list[str]) -> float:
    """Return the contrast of two colours (WCAG 2.2)."""
    luminances = []
    for colour in colours:
        channels = [float(number) / 255 for number in re.findall(r"[\d.]+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        luminances.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    low, high = sorted(luminances)
    return (high + 0.05) / (low + 0.05)


def is_readable(page: Page, within: str) -> None:
    texts, width = page.run(TEXTS, within)
    assert len(texts) > 10
    for n, (text, left, top, right, bottom, *colours) in enumerate(texts):
        assert left >= 0, text
        assert right <= width, text
        assert contrast(colours) >= 4.5, (text, colours)
        for other, *box in texts[:n]:
            inside = min(right, box[2]) - max(left, box[0]), min(bottom, box[3]) - max(top, box[1])
            assert min(inside) <= 1, f"{text!r} is over {other!r}"


@pytest.mark.parametrize("width", HIDDEN)
def test_wide_and_narrow_light_and_dark(page: Page, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for scheme in "light", "dark":
            feature = {"name": "prefers-color-scheme", "value": scheme}
            page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            is_readable(page, "body")
            page.run("document.querySelector('#connections button').click()")
            wait_until(lambda: page.text("#details .axis"))
            is_readable(page, "#details")
            page.press(Keys.ESCAPE)
        widths = page.run("return [...document.querySelectorAll('th')].map((th) => th.offsetWidth)")
        shown = dict(zip(COLUMNS, widths[-len(COLUMNS) - 2 : -2], strict=True))
        assert {name for name, there in shown.items() if not there} == HIDDEN[width]
        assert all(there >= 80 for there in shown.values() if there)
        assert shown["Path"] >= 140
        assert page.run("return document.documentElement.scrollWidth - innerWidth") <= 0
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_with_the_keyboard(page: Page) -> None:
    page.press("/")
    assert page.focused() == "search"
    page.press("192.0.2.1:17")
    wait_until(lambda: page.text("#found") == f"111 of {OTHERS:,} open, slowest first")
    assert page.text("#announced") == page.text("#found")
    assert all(client.startswith("192.0.2.1:17") for _, client, *_ in page.rows())
    page.press("5/")
    wait_until(lambda: page.text("#found") == f"0 of {OTHERS:,} open, slowest first")
    page.press(Keys.BACKSPACE, "0")
    wait_until(lambda: page.text("#found") == f"1 of {OTHERS:,} open, slowest first")
    page.press(Keys.BACKSPACE)
    wait_until(lambda: page.text("#found") == f"11 of {OTHERS:,} open, slowest first")
    page.press(Keys.TAB)
    assert page.focused() == "state"
    page.press(Keys.TAB)
    first = page.focused()
    assert first.startswith(HOSTILE)
    page.press(Keys.ARROW_DOWN)
    second = page.focused()
    assert second.startswith(HOSTILE)
    assert second != first
    page.press(Keys.ENTER)
    assert page.text("#details h2") == second
    wait_until(lambda: "Shortest, longest" in page.text("#details"))
    page.press("/")  # is of no effect here
    page.press(Keys.ESCAPE)
    assert page.run("return document.querySelector('#details').open") is False
    assert page.focused() == second


def test_focus_follows_its_connection(page: Page) -> None:
    page.press("/", "192.0.2.1:171")
    wait_until(lambda: len(page.rows()) == 11)
    page.run("document.querySelectorAll('#connections button')[3].focus()")
    path = page.focused()
    page.run(CHANGED, "for (const one of answer.connections) one.latency = one.number % 7")
    wait_until(lambda: page.rows()[3][2] != path)
    assert page.focused() == path
    page.run(CHANGED, "answer.connections = []")
    wait_until(lambda: not page.rows())


def named(browser: Chrome) -> set[str]:
    """Return the roles of what people use, all of which have accessible names."""
    browser.execute_cdp_cmd("Accessibility.enable", {})
    roles = set()
    for node in browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]:
        role, name = (node.get(key, {}).get("value") for key in ("role", "name"))
        if not node["ignored"] and role in ROLES:
            assert name, node
            roles.add(role)
    return roles


def test_everything_has_a_name(page: Page) -> None:
    assert named(page.browser) == ROLES - {"dialog"}
    page.run("document.querySelector('#connections button').click()")
    wait_until(lambda: "Shortest, longest" in page.text("#details"))
    wait_until(lambda: named(page.browser) >= {"dialog", "button", "image"})
