"""How a connection may end, and what `on_closing` and `ping` do then."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial

from .checks import at_shutdown, check
from .outcomes import Failed, NotSeen, require
from .peer import CLOSE, NONSENSE, PING, Peer
from .trial import LATE, Link, Trial

NORMAL = b"\x03\xe8"
"""The payload of a Close frame with code 1000."""

SETTLED = 0.1
"""Seconds in which a second call of `on_closing` would have come."""

ENDINGS: dict[str, Callable[[Link], object]] = {
    "the application's Close": lambda link: link.remote.begin(("send", "close", {})),
    "its return": lambda link: link.remote.end(),
    "its exception": lambda link: link.remote.begin(("end", True)),
    "the peer's Close frame": lambda link: link.peer.send(CLOSE, NORMAL),
    "its EOF": lambda link: link.peer.half_close(),
    "its reset": lambda link: link.peer.reset(),
    "a protocol error": lambda link: link.peer.write(NONSENSE),
}


def leave(link: Link) -> None:
    """Let the application return, and the peer answer, read and close."""
    link.remote.end()
    with suppress(OSError):
        link.peer.send(CLOSE, NORMAL)
        link.peer.until_end(1.0)
    link.peer.close()


def told_once(link: Link, name: str) -> None:
    """Wait for `on_closing`, which must not come twice."""
    link.remote.wait(lambda: link.remote.closings, f"after {name} on_closing was not called", LATE)
    leave(link)
    time.sleep(SETTLED)
    times = len(link.remote.closings)
    require(times == 1, f"after {name} on_closing was called {times} times")
    require(link.remote.closings[0].here, f"after {name} on_closing was called in another thread")


def refused(link: Link, name: str) -> None:
    """Wait until a `ping` raises."""
    end = time.monotonic() + LATE
    while "raised" not in (outcome := link.remote.begin(("call", "ping", b"late")).outcomes()[0]):
        require(time.monotonic() < end, f"after {name} a ping raised nothing")
        time.sleep(0.02)
    raised = outcome["raised"]
    require("OSError" in raised, f"after {name} a ping raised {raised[0]}, which is no OSError")


def once_after(name: str, trial: Trial) -> str:
    """Check `on_closing` after an ending."""
    link = trial.taken()
    link.remote.call("ping", b"first")
    link.peer.expect(PING, b"first")
    ENDINGS[name](link)
    told_once(link, name)
    return f"once after {name}"


def refused_after(name: str, trial: Trial) -> str:
    """Check `ping` after an ending."""
    link = trial.taken()
    ENDINGS[name](link)
    refused(link, name)
    leave(link)
    return f"after {name}"


for _name in ENDINGS:
    check("1.11")(partial(once_after, _name))
    check("1.13")(partial(refused_after, _name))


@check("1.11")
def denial_is_told(trial: Trial) -> str:
    link = trial.connect()
    link.remote.begin(("take_over",), ("receive",), ("send", "close", {}))
    link.peer.response()
    link.peer.close()
    told_once(link, "a denial")
    return "once after a denial"


@check("1.11")
def leaving_before_the_first_ping_is_told(trial: Trial) -> str:
    link = trial.taken()
    link.peer.close()
    told_once(link, "a leave before the first Ping")
    return "for a peer that leaves before the first Ping"


@check("1.11")
def leaving_before_accept_is_told(trial: Trial) -> str:
    for leave_by in Peer.half_close, Peer.reset:
        link = trial.connect()
        link.remote.begin(("take_over",), ("receive",)).result()
        leave_by(link.peer)
        # Some servers learn of it only when they write, and some raise then.
        link.remote.begin(("send", "accept", {})).outcomes()
        told_once(link, "a leave before Accept")
    return "for one that leaves before Accept"


@at_shutdown("1.11")
def shutdown_is_told(trial: Trial) -> Generator[None, None, str]:
    link = trial.taken()
    yield
    told_once(link, "the server's shutdown")
    return "once after the server's shutdown"


@at_shutdown("1.13")
def ping_is_refused_after_the_shutdown(trial: Trial) -> Generator[None, None, str]:
    link = trial.taken()
    yield
    try:
        refused(link, "the server's shutdown")
    except Failed as exc:
        if link.remote.has_left:
            raise NotSeen("the server had exited before a ping was refused") from exc
        raise
    leave(link)
    return "after the server's shutdown"
