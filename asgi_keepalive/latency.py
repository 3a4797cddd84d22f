"""Running statistics of a connection's round trips, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistics:
    """The round trips of one connection so far. Times are in seconds.

    Example::

        seen = keepalive.statistics
        print(f"{seen.count} Pongs for {seen.pings} Pings, SRTT: {seen.srtt}")

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
    """Collects the round trips of one connection, in the event loop's thread.

    Attributes:
        latency: The last round trip, in seconds; `None` before the first.
        pings: How many Pings have been written.
    """

    __slots__ = ("_seen", "latency", "pings")

    def __init__(self) -> None:
        self.latency: float | None = None
        self.pings = 0
        # Latency, SRTT, RTTVAR, minimum, maximum, count, when the last one ended. It is one value:
        # a snapshot that another thread takes is of one moment, too.
        self._seen: tuple[float, float, float, float, float, int, float] | None = None

    def add(self, latency: float, now: float) -> None:
        """Take in a round trip that has ended now."""
        self.latency = latency
        if self._seen is None:  # RFC 6298 2.2
            self._seen = latency, latency, latency / 2, latency, latency, 1, now
            return
        _, srtt, rttvar, minimum, maximum, count, _ = self._seen
        # 2.3: both from the old SRTT.
        deviation = latency - srtt
        rttvar += ((deviation if deviation > 0 else -deviation) - rttvar) / 4
        if latency < minimum:
            minimum = latency
        elif latency > maximum:
            maximum = latency
        self._seen = latency, srtt + deviation / 8, rttvar, minimum, maximum, count + 1, now

    def snapshot(self) -> Statistics:
        """Return the statistics as they are now."""
        seen = self._seen
        if seen is None:
            return Statistics(None, None, None, None, None, 0, self.pings, None)
        return Statistics(*seen[:6], self.pings, seen[6])
