"""The parts of the demo: its screens, and what it says of a server that does less."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .support.process import ROOT

sys.path.append(str(ROOT / "examples"))  # as for `python examples/demo.py`

from demo_parts import screen, story
from demo_parts.side import Side
from demo_parts.stage import Event, Stage


class Terminal(io.StringIO):
    """A terminal that shows colours."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    for name in "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE":
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sides() -> tuple[Side, Side]:
    """Return two sides with all that the demo expects of them."""
    stage = Stage(screen.Screen(), servers=2)
    first, second = Side("middleware", stage), Side("uvicorn", stage)
    for side in first, second:
        side.held, side.kept = 4_000_000, True
        side.told["lively"] = Event("left (1005)", 6.0)
    first.told["silent"] = first.told["frozen"] = Event("timed out (1011)", 2.0)
    first.answered, first.freed, first.latency = 4.0, 3.0, 0.0005
    second.told["silent"] = Event("left (1005)", 2.0)
    second.closed = Event("1011 keepalive ping timeout", 2.0)
    return first, second


def show(out: screen.Screen, sides: tuple[Side, Side]) -> None:
    story.introduce(out)
    out.event(2.0, "uvicorn", "silent", "the handler is told: left (1005)")
    story.conclude(out, *sides)


def shown(output: io.StringIO, sides: tuple[Side, Side]) -> str:
    """Return what is shown where this is the output."""
    with contextlib.redirect_stdout(output):
        show(screen.suitable(), sides)
    return output.getvalue()


def test_colours_on_a_terminal(sides: tuple[Side, Side]) -> None:
    text = shown(Terminal(), sides)
    assert "\x1b[33m  silent" in text
    assert "\x1b[32mtimed out (1011) at 2.00 s" in text
    assert "\x1b[31mclosed (1011) at 2.00 s" in text


def test_no_colours_if_asked_for(sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(Terminal(), sides)
    assert "timed out (1011) at 2.00 s" in text
    assert "\x1b[3" not in text


@pytest.mark.parametrize("missing", ["rich", "terminal"])
def test_plain_lines(
    missing: str, sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "rich":
        monkeypatch.setitem(sys.modules, "rich", None)
    text = shown(Terminal() if missing == "rich" else io.StringIO(), sides)
    assert "  silent      dies: it " in text
    assert " 2.00  uvicorn     silent  the handler is told: left (1005)\n" in text
    assert "handler of silent told   timed out (1011) at 2.00 s  left (1005) at 2.00 s\n" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= screen.WIDTH


def test_picture(sides: tuple[Side, Side], tmp_path: Path) -> None:
    out = screen.RichScreen(screen.WIDTH)
    show(out, sides)
    out.draw(tmp_path / "demo.svg", "title")
    for file in tmp_path / "demo.svg", ROOT / "docs" / "demo.svg":
        picture = file.read_text()
        text = "".join(ElementTree.fromstring(picture).itertext()).replace("\xa0", " ")
        assert "handler of silent told" in text
        assert "@font-face" not in picture  # it would be loaded from another host
        assert str(ROOT) not in picture
        assert len(picture) < 60_000


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({}, None),
        ({"told": {}}, "the handler was told of silent: nothing in 6 s"),
        ({"freed": None}, "the kernel still holds for frozen: 4.0 MB"),
        ({"answered": None}, "busy was not kept: no answer in 6 s"),
        ({"closed": Event("1011 x", 2.0)}, "busy was not kept: closed (1011) at 2.00 s"),
        ({"latency": None}, "lively has no latency"),
        ({"kept": False}, "lively was not kept"),
    ],
)
def test_fails_unless_the_middleware_does_what_is_said(
    changes: dict[str, Any], failure: str | None, sides: tuple[Side, Side]
) -> None:
    first, _ = sides
    vars(first).update(changes)
    failures = list(story.failures(first))
    assert failures[:1] == ([failure] if failure else [])
    assert ("Why the differences matter" in shown(io.StringIO(), sides)) is (failure is None)


def test_says_nothing_of_what_uvicorn_has_not_done(sides: tuple[Side, Side]) -> None:
    first, _ = sides
    assert list(story.conclusions(first, first)) == []


def test_late_is_a_failure(sides: tuple[Side, Side]) -> None:
    sides[0].told["silent"] = Event("timed out (1011)", 5.0)
    assert list(story.failures(sides[0])) == ["the handler was told of silent at 5.00 s only"]
