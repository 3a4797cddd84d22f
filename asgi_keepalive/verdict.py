"""Why a connection has been failed, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .extension import Traffic

TICK = 0.02
"""`quiet` may be wrong by so many seconds, as operating systems count coarsely."""

Reason = Literal["silent", "frozen", "application behind", "stalled", "unanswered", "refused"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why no Pong was seen in time. Times are in seconds.

    Example::

        if keepalive.verdict is not None and keepalive.verdict.reason == "stalled":
            print(f"the event loop stood still for {keepalive.verdict.stalled:.1f} s")

    Attributes:
        reason: The first of these that holds.

            - `application behind`: since the Ping was written the server has read for less than
              `ping_timeout`, as too much was unread. (The deadline has been postponed by as
              long as it did not read, but only by `ping_timeout`; here that was not enough.)
            - `frozen`: what had been written could not leave, the peer has no room for it.
            - `stalled`: the event loop stood still while the Pong was awaited, and something has
              come from the peer that it may not have got to.
            - `unanswered`: something has come from the peer since the Ping, but no Pong.
            - `silent`: nothing has, as far as the server can tell.

            `refused` stands for none of these: the server has refused two Pings in a row, and the
            middleware was told that keepalive is required.

        waited: How long the Pong was awaited.
        quiet: For how long nothing at all had come from the peer; `None` if the server cannot tell.
        unsent: How many bytes could not leave; `None` if the server cannot tell.
        behind: For how long the server did not read since the Ping was written, in all, as too much
            was unread; `None` if it always read.
        stalled: How long the event loop stood still while the Pong was awaited. The deadline has
            been postponed, once, by as long, at most by `ping_timeout`.
        acknowledged: How many bytes the peer's kernel has acknowledged since the Ping was written.
            `None` if they were not counted then: with `liveness="pong"`, or with nothing buffered
            in front of it.
        received: How many bytes have come from the peer since then; `None` likewise, unless `quiet`
            tells that none have.

    With `liveness="progress"`, `behind` and `stalled` count since the deadline was last put off.
    """

    reason: Reason
    waited: float
    quiet: float | None
    unsent: int | None
    behind: float | None
    stalled: float
    acknowledged: int | None = None
    received: int | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self._evidence()}"

    def _evidence(self) -> str:
        if self.reason == "refused":
            return "the server has refused two Pings in a row, and keepalive is required"
        if self.reason == "application behind":
            return f"its unread messages have kept the server from reading for {self.behind:.3g} s"
        if self.reason == "frozen":
            some = f", {self.acknowledged:,} were acknowledged" if self.acknowledged else ""
            return f"{self.unsent:,} bytes could not leave{some}"
        if self.reason == "stalled":
            return f"the event loop stood still for {self.stalled:.3g} s"
        if self.reason == "unanswered":
            some = f", {self.received:,} bytes in all" if self.received else ""
            return f"no Pong has come, the last of anything else {self.quiet:.3g} s ago{some}"
        if self.quiet is None:
            return "no Pong has come"
        return f"nothing has come for {self.quiet:.3g} s"


REFUSED = Verdict("refused", waited=0.0, quiet=None, unsent=None, behind=None, stalled=0.0)
"""The verdict on a connection whose Pings are refused where keepalive is required."""


def nothing_came(traffic: Traffic, seconds: float) -> bool:
    """Whether nothing has come for so many seconds, read or unread, nor can be about to come.

    Something can, from a peer that has not been sent everything itself.
    """
    quiet = traffic.get("quiet")
    # Only a kernel knows what is unread. Its server tells `acknowledged`, too.
    if quiet is None or traffic.get("acknowledged") is None or traffic.get("unsent"):
        return False
    return quiet >= seconds + TICK


def judge(
    traffic: Traffic,
    *,
    waited: float,
    timeout: float,
    paused: float,
    stalled: float,
    acknowledged: int | None = None,
    received: int | None = None,
) -> Verdict:
    """Return the verdict that the evidence leads to, see `Verdict`.

    Args:
        traffic: How things stand with the peer.
        waited: How long the Pong was awaited.
        timeout: How long to wait for a Pong, had nothing postponed the deadline.
        paused: For how long reading was paused meanwhile, in all.
        stalled: For how long the event loop stood still meanwhile.
        acknowledged: How many bytes were acknowledged meanwhile, if that has been counted.
        received: How many bytes came meanwhile, if that has been counted.
    """
    quiet, unsent = traffic.get("quiet"), traffic.get("unsent")
    reason: Reason = "silent"
    if paused > timeout:
        reason = "application behind"
    elif unsent:
        reason = "frozen"
    elif stalled and (quiet is None or quiet < waited + TICK):
        reason = "stalled"
    elif quiet is not None and quiet < waited - TICK:
        reason = "unanswered"
    if received is None and quiet is not None and quiet >= waited - TICK:
        received = 0
    return Verdict(reason, waited, quiet, unsent, paused or None, stalled, acknowledged, received)
