"""The texts before and after the play. They say only what has happened."""

from __future__ import annotations

from collections.abc import Iterator

from . import INTERVAL, MARGIN, TIMEOUT, WATCHED, WORK
from .kernel import LINUX, size
from .screen import Answer, Row, Screen
from .side import Side
from .stage import Event

HEAD = "", "KeepaliveMiddleware", "uvicorn's own keepalive"
LEFT = "left (1005)"
NOTHING = Event(f"nothing in {WATCHED:g} s", WATCHED)


def introduce(out: Screen) -> None:
    """Say who plays."""
    out.text(
        f"Two servers run one application. Each sends a Ping every {INTERVAL:g} s, "
        f"and waits {TIMEOUT:g} s for the Pong.",
        "bold",
    )
    out.entry("middleware", "is uvicorn with KeepaliveMiddleware.")
    out.entry("uvicorn", "is uvicorn with its own keepalive.")
    out.text()
    out.text("Each has four clients. Two of them are fine, and two die at 0.00.", "bold")
    out.entry("lively", "is fine. It answers every Ping, and chats.")
    out.entry("silent", "dies: it stays connected, but answers nothing any more.")
    out.entry("frozen", "dies: it reads nothing any more, while the server streams to it.")
    out.entry(
        "busy",
        "is fine. It answers every Ping, and sends two messages. Its handler works "
        f"{WORK:g} s on each, so the second has to wait.",
    )
    out.text()
    out.text("All times are seconds since 0.00.")
    out.text()


def conclude(out: Screen, first: Side, second: Side) -> None:
    """Show the answers side by side; only if the first are good, say what they mean."""
    out.text()
    out.table(HEAD, list(rows(first, second)))
    out.text()
    if not list(failures(first)):
        out.text("Why the differences matter:", "bold")
        for name, text in conclusions(first, second):
            out.entry(name, text)
        out.text()


def rows(first: Side, second: Side) -> Iterator[Row]:
    """Give each question with the answers of both servers."""
    questions = {
        "handler of silent told": lambda side: dead(side, "silent"),
        "handler of frozen told": lambda side: dead(side, "frozen"),
        "kernel holds for frozen": memory,
        "busy": busy,
        "latency of lively": latency,
        "handler of lively told": left,
    }
    for asked, answer in questions.items():
        yield asked, answer(first), answer(second)


def dead(side: Side, name: str) -> Answer:
    """Say what a handler was told of a dead client."""
    what, at = side.told.get(name, NOTHING)
    text = f"{what} at {at:.2f} s" if name in side.told else what
    return Answer(text, what.startswith("timed out"))


def memory(side: Side) -> Answer:
    """Say what the kernel held for frozen."""
    if not LINUX:
        return Answer("not looked at", True)
    gone = f"still at {WATCHED:g} s" if side.freed is None else f"gone at {side.freed:.2f} s"
    return Answer(f"{size(side.held)}, {gone}", side.freed is not None)


def busy(side: Side) -> Answer:
    """Say what has become of busy."""
    if side.closed:
        return Answer(f"closed ({side.closed.what[:4]}) at {side.closed.at:.2f} s", False)
    if side.answered is None:
        return Answer(f"no answer in {WATCHED:g} s", False)
    return Answer(f"kept, answered at {side.answered:.2f} s", True)


def latency(side: Side) -> Answer:
    """Say how fast lively is."""
    if side.latency is None:
        return Answer("unknown", False)
    return Answer(f"{side.latency * 1000:.2f} ms", True)


def left(side: Side) -> Answer:
    """Say what a handler was told of lively, who left."""
    what = side.told.get("lively", NOTHING).what
    return Answer(what, what == LEFT)


def failures(side: Side) -> Iterator[str]:
    """Say what `KeepaliveMiddleware` promises and a server has not done."""
    for name in "silent", "frozen":
        if not dead(side, name).good:
            yield f"the handler was told of {name}: {dead(side, name).text}"
        elif side.told[name].at > INTERVAL + TIMEOUT + MARGIN:
            yield f"the handler was told of {name} at {side.told[name].at:.2f} s only"
    if not memory(side).good:
        yield f"the kernel still holds for frozen: {size(side.held)}"
    if not busy(side).good:
        yield f"busy was not kept: {busy(side).text}"
    if not latency(side).good:
        yield "lively has no latency"
    if not side.kept:
        yield "lively was not kept"
    if not left(side).good:
        yield f"the handler was told of lively, who left: {left(side).text}"


def conclusions(first: Side, second: Side) -> Iterator[tuple[str, str]]:
    """Say what each difference between the servers means to an application."""
    if left(second).good and second.told.get("silent", NOTHING).what == LEFT:
        yield (
            "silent",
            "uvicorn told its handler 1005. It told the same of lively, who said goodbye. "
            "So the handler cannot tell a lost network from a user who left: a game gives the "
            "seat away instead of waiting for the player to come back, and no failure is "
            "counted. The middleware told 1011, and `keepalive.timed_out` was true.",
        )
    if "frozen" not in second.told and LINUX:
        yield (
            "frozen",
            f"On uvicorn its handler still waited in `send` after {WATCHED:g} s, and the kernel "
            f"still held {size(second.held)}. With the middleware the handler was told after "
            f"{first.told['frozen'].at:.2f} s, and what the kernel held ({size(first.held)}) was "
            f"gone after {first.freed:.2f} s.",
        )
    if second.closed:
        yield (
            "busy",
            f"uvicorn closed it ({second.closed.what}), although it was fine: uvicorn reads no "
            "Pong while a message waits for the handler. The middleware reads on, and kept the "
            "client.",
        )
