"""Progress: what shows that a peer lives before its Pong comes, if `liveness` is "progress".

This is without I/O: the server's counters come in, and what puts a deadline off comes out. The
counters are read when a keepalive Ping has been written behind something that the server had
buffered, and when its deadline has passed. Progress is what they say since the last look:

1. The Ping has not come to the peer's kernel, and what is in front of it is being acknowledged.
2. The Ping has come to the peer's kernel. Its Pong is then awaited for as long as any other, from
   about then on. What is acknowledged later proves nothing: the kernel of a process that is stopped
   goes on until its window is full.
3. Bytes have come from the peer, behind which the Pong may be.

Less than `LEAST_PACE`, over a timeout or what has passed of it, is no progress. Where nothing was
counted when the Ping was written, a first deadline is put off if anything has come since, or if
much is still on its way to the peer. The Ping may be behind all of that, if little waits to be
sent: then most of it was there before the Ping.
"""

from __future__ import annotations

from typing import NamedTuple

from .extension import Traffic
from .verdict import TICK, Verdict, judge

LEAST_PACE = 4096
"""Bytes a second: half of a link of 64 kbit/s, and more than a mere trickle."""

LITTLE = 64 * 1024
"""Bytes that have not been sent: as many as asyncio buffers before it lets `send` wait."""


class PutOff(NamedTuple):
    """A deadline that is put off.

    Attributes:
        until: The new one, in monotonic seconds.
        why: The progress, for the log.
    """

    until: float
    why: str


class Progress:
    """The progress since a keepalive Ping was written.

    Args:
        written_at: When that was, in monotonic seconds.
        traffic: What the server told right after it, if it was asked.
    """

    __slots__ = (
        "_acknowledged",
        "_at",
        "_is_exact",
        "_position",
        "_received",
        "_since",
        "_was_put_off",
        "_written_at",
    )

    def __init__(self, written_at: float, traffic: Traffic | None = None) -> None:
        self._since: Traffic = traffic or {}
        self._acknowledged, unacknowledged = _sent(self._since)
        self._at = self._written_at = written_at
        # It is that of the Ping's last byte, counted as what is acknowledged is.
        self._position = None if traffic is None else self._acknowledged + unacknowledged
        self._is_exact = traffic is not None  # or its position is at most that
        self._received = self._since.get("received")
        self._was_put_off = False

    def put_off(self, traffic: Traffic, now: float, timeout: float) -> PutOff | None:
        """Return what puts off the deadline that has passed; `None` if nothing does.

        Args:
            traffic: What the server tells.
            now: Monotonic seconds.
            timeout: How long to wait for a Pong.
        """
        acknowledged, unacknowledged = _sent(traffic)
        if self._position is None:
            sending = self._unknown(unacknowledged, now, timeout)
            if (traffic.get("unsent") or 0) <= LITTLE:
                self._position = acknowledged + unacknowledged
        else:
            sending = self._sending(self._position, acknowledged, now, timeout)
        receiving = self._receiving(traffic, now, timeout)
        self._acknowledged, self._at = acknowledged, now
        self._received = traffic.get("received")
        self._was_put_off = True
        return max(filter(None, (sending, receiving)), default=None)

    def _sending(
        self, position: int, acknowledged: int, now: float, timeout: float
    ) -> PutOff | None:
        """Return whether what is in front of the Ping, or the Ping itself, has gone on."""
        gained = acknowledged - self._acknowledged
        if acknowledged < position:
            why = f"{gained:,} bytes in front of it have been acknowledged"
            return PutOff(now + timeout, why) if gained >= self._least(now, timeout) else None
        if self._acknowledged >= position or not self._is_exact:
            return None  # it came before the last look, or may have
        share = (position - self._acknowledged) / gained
        until = self._at + share * (now - self._at) + timeout
        return PutOff(until, "it has come to the peer since") if until > now else None

    def _unknown(self, unacknowledged: int, now: float, timeout: float) -> PutOff | None:
        """Return whether so much is on its way that the Ping may be behind it."""
        if self._was_put_off or unacknowledged < self._least(now, timeout):
            return None
        return PutOff(now + timeout, f"{unacknowledged:,} bytes are on their way")

    def _receiving(self, traffic: Traffic, now: float, timeout: float) -> PutOff | None:
        """Return whether bytes have come from the peer."""
        received, quiet = traffic.get("received"), traffic.get("quiet")
        if received is not None and self._received is not None:
            came = received - self._received
            if came >= self._least(now, timeout):
                return PutOff(now + timeout, f"{came:,} bytes have come")
        elif not self._was_put_off and quiet is not None and quiet < now - self._at - TICK:
            return PutOff(now + timeout, f"something has come, {quiet:.3g} s ago")
        return None

    def _least(self, now: float, timeout: float) -> float:
        """Return how many bytes since the last look are progress."""
        return LEAST_PACE * min(timeout, now - self._at)

    def judge(
        self, traffic: Traffic, now: float, timeout: float, paused: float, stalled: float
    ) -> Verdict:
        """Return the verdict that the evidence leads to, see `verdict.judge`."""
        before = self._since
        return judge(
            traffic,
            waited=now - self._written_at,
            timeout=timeout,
            paused=paused,
            stalled=stalled,
            acknowledged=_difference(before.get("acknowledged"), traffic.get("acknowledged")),
            received=_difference(before.get("received"), traffic.get("received")),
        )


def _sent(traffic: Traffic) -> tuple[int, int]:
    """Return how many bytes have been acknowledged, and how many have not.

    Where the server cannot tell, what has left its buffer stands for what has been acknowledged.
    What is in the buffer then counts as below zero.
    """
    acknowledged, unacknowledged = traffic.get("acknowledged"), traffic.get("unacknowledged")
    if acknowledged is None or unacknowledged is None:
        unsent = traffic.get("unsent") or 0
        return -unsent, unsent
    return acknowledged, unacknowledged


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
