"""The connections that are open, and why others no longer are."""

from __future__ import annotations

import itertools
import time
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from ..extension import Scope
from ..latency import Statistics
from ..log import client, path
from ..scopes import get_keepalive
from ..state import Keepalive
from ..verdict import Verdict
from . import Observer
from .timeline import Timeline

RECENT = 32
"""So many of a connection's last round trips are kept."""

FAILURES = 100
"""So many of the last failures are kept."""

State = Literal["new", "ok", "late", "unsupported"]

RoundTrip = tuple[float, float]
"""How many seconds ago a round trip ended, and how many it took."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A connection that has been failed.

    Example::

        for failure in live.failures:
            print(failure.client, failure.path, failure.verdict)

    Attributes:
        number: Its number, as that of `LiveConnection`.
        client: The address of its client.
        path: Its path, without the query string.
        at: When it was failed, in seconds since the epoch, as `time.time()`.
        age: How long it had been open, in seconds.
        history: Its last round trips, the last of them last; seconds ago count from its failure.
        verdict: Why it was failed.
    """

    number: int
    client: str
    path: str
    at: float
    age: float
    history: list[RoundTrip]
    verdict: Verdict


def is_late(waiting: float, srtt: float | None, rttvar: float | None) -> bool:
    """Whether a Pong is late that has been awaited for so long, see `LiveConnection.state`."""
    return waiting > 1 and (srtt is None or rttvar is None or waiting > srtt + 4 * rttvar)


class LiveConnection(Observer):
    """An open connection. Times are in seconds; it can be read from any thread.

    Example::

        for connection in live:
            print(connection.client, connection.state, connection.keepalive.latency)

    Attributes:
        number: Its number; connections are counted from 1.
        client: The address of its client.
        path: Its path, without the query string, which may hold secrets.
        keepalive: The object in `scope["state"]["keepalive"]`.
    """

    def __init__(self, live: LiveConnections, number: int, scope: Scope) -> None:
        self.number = number
        self.client = client(scope)
        self.path = path(scope)
        self.keepalive: Keepalive = get_keepalive(scope)
        self._live = live
        self._opened_at = time.monotonic()
        self._latency = 0.0
        self._pings = 0
        # So many Pings had been written when none was awaited; to find that out again takes time.
        self._answered = -1
        self._recent = array("d")  # when a round trip ended, and how long it took, by turns

    @property
    def age(self) -> float:
        """How long it has been open."""
        return time.monotonic() - self._opened_at

    @property
    def waiting(self) -> float | None:
        """How long a Pong has been awaited; `None` if none is."""
        pings = self._pings
        if pings == self._answered:
            return None
        since = self.keepalive._awaited_since
        if since is None:
            self._answered = pings
            return None
        return time.monotonic() - since

    @property
    def recent(self) -> list[float]:
        """Its last latencies, the last of them last."""
        return self._recent[-2 * RECENT :][1::2].tolist()

    @property
    def history(self) -> list[RoundTrip]:
        """Its last round trips, the last of them last."""
        now = time.monotonic()
        kept = self._recent[-2 * RECENT :].tolist()
        return [(now - at, latency) for at, latency in zip(kept[::2], kept[1::2], strict=True)]

    @property
    def since_last_pong(self) -> float | None:
        """How long ago the last Pong came; `None` before the first."""
        at = self.statistics.last_pong_at
        return None if at is None else time.monotonic() - at

    @property
    def statistics(self) -> Statistics:
        """Its round trips so far."""
        return self.keepalive.statistics

    @property
    def state(self) -> State:
        """How it is doing: `new` before the first Pong, then `ok`; or `late`, while a Pong is.

        It is `unsupported` if its server gives no access to Pings, see `Keepalive.supported`.

        A Pong is late when it has been awaited for longer than the retransmission timeout that
        RFC 6298 (2.2 to 2.4) computes from the round trips so far, which is at least a second.
        """
        if not self.keepalive.supported:
            return "unsupported"
        if self.is_late:
            return "late"
        return "new" if self.keepalive.latency is None else "ok"

    @property
    def is_late(self) -> bool:
        """Whether `state` is `late`."""
        waiting = self.waiting
        if waiting is None or waiting <= 1:  # most are, and need no statistics
            return False
        seen = self.statistics
        return is_late(waiting, seen.srtt, seen.rttvar)

    @property
    def slowness(self) -> float:
        """Its last latency, or how long a Pong has been awaited, whichever is longer."""
        waiting = self.waiting
        return self._latency if waiting is None else max(waiting, self._latency)

    def opened(self) -> None:
        self._live._open[self.number] = self

    def pinged(self) -> None:
        self._pings += 1
        self._live.timeline.pinged()

    def ponged(self, latency: float) -> None:
        now = time.monotonic()
        self._latency = latency
        recent = self._recent
        recent.extend((now, latency))
        if len(recent) > 2 * RECENT:
            del recent[:2]
        self._live.timeline.ponged(latency, now)

    def failed(self, verdict: Verdict) -> None:
        self._live.timeline.failed(verdict)
        self._live._failures.append(
            Failure(
                self.number,
                self.client,
                self.path,
                time.time(),
                self.age,
                self.history,
                verdict,
            )
        )

    def closed(self) -> None:
        self._live._open.pop(self.number, None)


class LiveConnections:
    """Keeps the open connections of its process.

    Iterate over it, or ask for its `len`, in any thread.

    Example::

        live = LiveConnections()
        app.add_middleware(KeepaliveMiddleware, observers=[live])

    Attributes:
        timeline: The Pings, latencies and failures of the last ten minutes.
    """

    def __init__(self) -> None:
        self.timeline = Timeline()
        self._failures: deque[Failure] = deque(maxlen=FAILURES)
        self._numbers = itertools.count(1)
        self._open: dict[int, LiveConnection] = {}

    def __call__(self, scope: Scope) -> LiveConnection:
        """Return the observer of one connection."""
        return LiveConnection(self, next(self._numbers), scope)

    @property
    def failures(self) -> deque[Failure]:
        """The last failures, the last of them last: a copy."""
        return self._failures.copy()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[LiveConnection]:
        """Iterate over those that are open now, the oldest first; some may close meanwhile."""
        return iter(self._open.copy().values())

    def find(self, number: int) -> LiveConnection | None:
        """Return the open connection of this number, or `None` if there is none."""
        return self._open.get(number)

    def slowest_first(self) -> list[LiveConnection]:
        """Return those that are open now, sorted by `slowness`."""
        return sorted(self, key=attrgetter("slowness"), reverse=True)
