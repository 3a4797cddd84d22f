"""The module's logic, on a page without a browser."""

from __future__ import annotations

from ..support.needs import program
from .npm import run


def test_logic() -> None:
    run(program("node"), "--test", "tests/browser/keepalive.test.mjs")
