"""Level 6: the exit."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from .checks import at_shutdown, check
from .endings import NORMAL, SETTLED
from .level1 import none_held, works
from .level2 import CODE, REASON, fail
from .outcomes import Failed, NotSeen, require
from .peer import CLOSE, close_of
from .remote import Exit
from .trial import LATE, Link, Trial

WATCHED = 1.0
"""Seconds for which a connection is watched while the server exits, at the most."""

REST = 0.2
"""Seconds before the end of the grace after which it is not watched."""

SOON = 2 * LATE
"""Seconds in which a server exits that waits for nothing."""


def announced(trial: Trial) -> Link:
    """Return a connection to which the server's exit is announced."""
    return trial.taken(("announce_exit",))


def told(link: Link) -> Exit:
    """Wait for `on_exit`; 6.1 says what is wrong with that."""
    try:
        return announcement(link)
    except Failed as exc:
        raise NotSeen(str(exc)) from exc


def announcement(link: Link) -> Exit:
    """Wait for `on_exit`."""
    link.remote.wait(lambda: link.remote.exits, "on_exit was not called")
    exit = link.remote.exits[0]
    is_number = isinstance(exit.grace, int | float) and exit.grace >= 0
    require(is_number, f"on_exit was called with {exit.grace}")
    require(exit.here, "on_exit was called in another thread")
    return exit


@contextmanager
def within(exit: Exit) -> Iterator[None]:
    """Say nothing of what fails when the grace has passed."""
    try:
        yield
    except (Failed, EOFError, OSError) as exc:
        if time.monotonic() < exit.end:
            raise
        raise NotSeen(f"the grace of {exit.grace:.1f} s had passed before it was seen") from exc


@at_shutdown("6.1")
def exit_is_told_once(trial: Trial) -> Generator[None, None, str]:
    early, late = announced(trial), trial.taken()
    late.remote.do("announce_exit")
    yield
    first, _ = announcement(early), announcement(late)
    trial.run.grace_ends = first.end
    time.sleep(SETTLED)
    for link in early, late:
        times = len(link.remote.exits)
        require(times == 1, f"on_exit was called {times} times")
    return f"once, with {first.grace:.1f} s"


@at_shutdown("6.2")
def connection_works_on(trial: Trial) -> Generator[None, None, str]:
    link = announced(trial)
    yield
    exit = told(link)
    rounds, last = 0, min(exit.end - REST, exit.at + WATCHED)
    with within(exit):
        while time.monotonic() < last or not rounds:
            time.sleep(0.05)
            works(link)
            rounds += 1
    return f"{rounds} Pings and messages in {time.monotonic() - exit.at:.1f} s"


@at_shutdown("6.3")
def application_closes(trial: Trial) -> Generator[None, None, str]:
    link = announced(trial)
    yield
    exit = told(link)
    with within(exit):
        link.remote.begin(("send", "close", {"code": CODE}))
        ended(link, "Close", "")
    return "the application's Close"


@at_shutdown("6.3")
def connection_is_failed(trial: Trial) -> Generator[None, None, str]:
    if "fail" not in trial.offered:
        raise NotSeen("fail is not offered")
    link = announced(trial)
    yield
    exit = told(link)
    with within(exit):
        fail(link)
        ended(link, "fail", REASON)
    return "fail"


def ended(link: Link, name: str, reason: str) -> None:
    """Require that the peer gets the Close frame, and then FIN."""
    close = link.peer.expect(CLOSE)
    code = close_of(close)
    require(code == (CODE, reason), f"after {name} the Close frame has {code}")
    link.peer.send(CLOSE, close)
    frames, how = link.peer.until_end()
    require((frames, how) == ([], "FIN"), f"after {name} the peer got {how}")


@check("6.4")
def callback_is_dropped(trial: Trial) -> str:
    closed = announced(trial)
    closed.peer.send(CLOSE, NORMAL)
    closed.remote.closed()
    none_held(closed)
    if "fail" in trial.offered:
        failed = announced(trial)
        fail(failed)
        none_held(failed)
    return "no reference after the end"


@at_shutdown("6.4")
def only_open_connections_are_told(trial: Trial) -> Generator[None, None, str]:
    early, closing, other = trial.connect(), announced(trial), announced(trial)
    early.remote.begin(("take_over",), ("announce_exit",), ("receive",)).result()
    closing.remote.begin(("send", "close", {}))
    closing.peer.expect(CLOSE)
    closing.remote.closed()
    yield
    told(other)
    time.sleep(SETTLED)
    require(not early.remote.exits, "on_exit was called before Accept")
    require(not closing.remote.exits, "on_exit was called after on_closing")
    return "no call before Accept, nor after on_closing"


@at_shutdown("6.5")
def callback_is_replaced(trial: Trial) -> Generator[None, None, str]:
    link = announced(trial)
    link.remote.do("announce_exit")
    yield
    told(link)
    time.sleep(SETTLED)
    numbers = [one.number for one in link.remote.exits]
    require(set(numbers) == {3}, "the first callback was called")  # others have the lower numbers
    return "the second callback"


@check("6.6", is_last=True)
def server_exits_early(trial: Trial) -> str:
    run = trial.run
    if run.grace_ends < run.left_at + SOON:
        raise NotSeen("no time was left when the last connection had gone")
    took = run.exited_at - run.left_at
    require(took < SOON, f"the server exited {took:.1f} s after the last connection had gone")
    return f"{took:.1f} s after the last connection had gone"
