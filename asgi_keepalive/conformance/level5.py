"""Level 5: traffic."""

from __future__ import annotations

import time
from typing import Any

from .checks import check
from .endings import NORMAL
from .outcomes import NotSeen, require
from .peer import CLOSE, PING, TEXT, frame
from .trial import LATE, Link, Trial

UNREAD = frame(TEXT, b"unread" * 100)


def known(link: Link, name: str) -> Any:
    """Return a value of `traffic`."""
    value = link.remote.call("traffic").get(name)
    if value is None:
        raise NotSeen(f"the server cannot tell {name}")
    return value


def soon(link: Link, name: str, least: float, most: float) -> None:
    """Wait until a value of `traffic` is between two others."""
    end = time.monotonic() + LATE
    while not least <= (value := known(link, name)) <= most:
        require(time.monotonic() < end, f"{name} is {value}, not {least} to {most}")
        time.sleep(0.02)


def sent_by(link: Link) -> int:
    """Return how many bytes `blocked` has sent."""
    return int(link.remote.do("sent")) * 65536


def place(link: Link) -> int:
    """Return the place of what would be written now."""
    return int(known(link, "acknowledged") + known(link, "unacknowledged"))


@check("5.1")
def unsent_bytes_are_counted(trial: Trial) -> str:
    idle, stalled = trial.taken(), trial.taken(stalled=True)
    idle.remote.send("send", text="sent")
    idle.peer.expect(TEXT, b"sent")
    soon(idle, "unsent", 0, 0)
    stalled.blocked()
    unsent, sent = known(stalled, "unsent"), sent_by(stalled)
    require(unsent > sent / 2, f"unsent is {unsent} of {sent} with a peer that reads nothing")
    return f"0 and {unsent}"


@check("5.2")
def quiet_counts_from_the_last_frame(trial: Trial) -> str:
    link = trial.taken()
    link.peer.write(UNREAD)
    time.sleep(0.4)
    quiet = known(link, "quiet")
    require(0.35 < quiet < 0.4 + LATE, f"0.4 s after a frame quiet is {quiet}")
    before = time.monotonic()
    link.peer.write(UNREAD)
    time.sleep(0.02)
    again = known(link, "quiet")
    passed = time.monotonic() - before
    require(again <= passed + 0.02, f"{passed:.3f} s after an unread frame quiet is {again}")
    return f"{quiet:.2f} s, then {again:.3f} s"


@check("5.3")
def traffic_is_empty_once_closing(trial: Trial) -> str:
    link = trial.taken()
    link.peer.send(CLOSE, NORMAL)
    link.remote.closed()
    found = link.remote.call("traffic")
    require(found == {}, f"traffic returned {found}")
    return "{}"


@check("5.4")
def acknowledged_comes_to_the_place_of_a_ping(trial: Trial) -> str:
    link = trial.taken()
    link.remote.send("send", text="before")
    before = place(link)
    ping, traffic = link.remote.begin(("call", "ping", b"place"), ("call", "traffic")).outcomes()
    require("raised" not in ping, "ping raised")
    after = traffic["value"]["acknowledged"] + traffic["value"]["unacknowledged"]
    link.peer.expect(TEXT)
    link.peer.expect(PING)
    require(after - before >= 7, f"a Ping of 7 bytes moved the place by {after - before}")
    soon(link, "acknowledged", after, after + 1000)
    return f"{after - before} bytes on, and acknowledged"


@check("5.4")
def place_is_behind_what_is_buffered(trial: Trial) -> str:
    link = trial.taken(stalled=True)
    before = place(link)
    link.blocked()
    moved, sent = place(link) - before, sent_by(link)
    require(moved >= sent, f"{sent} bytes of messages moved the place by {moved}")
    return f"and behind {sent} bytes that are buffered"


@check("5.5")
def received_bytes_are_counted(trial: Trial) -> str:
    link = trial.taken()
    before = known(link, "received")
    for _ in range(2):
        link.peer.write(UNREAD)
        time.sleep(0.05)  # until the first has been read, and the second waits
    soon(link, "received", before + 2 * len(UNREAD), before + 3 * len(UNREAD))
    return f"{known(link, 'received') - before} for {2 * len(UNREAD)} bytes"


@check("5.6")
def buffered_bytes_are_counted(trial: Trial) -> str:
    if "buffered" not in trial.offered:
        raise NotSeen("buffered, which is optional, is not offered")
    idle, stalled = trial.taken(), trial.taken(stalled=True)
    stalled.blocked()
    counts = idle.remote.call("buffered"), stalled.remote.call("buffered")
    require(counts[0] == 0 < counts[1], "they are {} and {}".format(*counts))
    return "{} and {}".format(*counts)
