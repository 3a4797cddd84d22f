"""Running statistics of a connection's round trips, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistics:
    """The round trips of one connection so far. Times are in seconds.

    Attributes:
        latency: The last round trip, from a Ping to its Pong; `None` before the first, as are all
            that follow from it.
        srtt: The smoothed round-trip time, SRTT of RFC 6298: a moving average in which each new
            round trip counts for an eighth.
        rttvar: The round-trip time variation, RTTVAR of RFC 6298: how far round trips are from
            `srtt`, as a moving average in which each new one counts for a quarter.
        minimum: The shortest round trip.
        maximum: The longest.
        count: How many there have been. A Pong for a later Ping acknowledges the earlier ones, so
            there may be fewer than Pings.
        pings: How many Pings have been written, those of `Keepalive.ping` included.
        last_pong_at: When the last Pong that answered a Ping came, by `time.monotonic()`.
    """

    latency: float | None
    srtt: float | None
    rttvar: float | None
    minimum: float | None
    maximum: float | None
    count: int
    pings: int
    last_pong_at: float | None


class RoundTrips:
    """Collects what `Statistics` is a snapshot of."""

    __slots__ = (
        "count",
        "last_pong_at",
        "latency",
        "maximum",
        "minimum",
        "pings",
        "rttvar",
        "srtt",
    )

    def __init__(self) -> None:
        self.latency: float | None = None
        self.srtt = 0.0
        self.rttvar = 0.0
        self.minimum = 0.0
        self.maximum = 0.0
        self.count = 0
        self.pings = 0
        self.last_pong_at = 0.0

    def add(self, latency: float, now: float) -> None:
        """Take in a round trip that has ended now."""
        self.latency = latency
        self.last_pong_at = now
        if self.count:
            # RFC 6298 2.3: both from the old SRTT.
            deviation = latency - self.srtt
            self.srtt += deviation / 8
            self.rttvar += ((deviation if deviation > 0 else -deviation) - self.rttvar) / 4
            if latency < self.minimum:
                self.minimum = latency
            elif latency > self.maximum:
                self.maximum = latency
        else:  # 2.2
            self.srtt = self.minimum = self.maximum = latency
            self.rttvar = latency / 2
        self.count += 1

    def snapshot(self) -> Statistics:
        """Return the statistics as they are now."""
        if not self.count:
            return Statistics(None, None, None, None, None, 0, self.pings, None)
        return Statistics(
            self.latency,
            self.srtt,
            self.rttvar,
            self.minimum,
            self.maximum,
            self.count,
            self.pings,
            self.last_pong_at,
        )
