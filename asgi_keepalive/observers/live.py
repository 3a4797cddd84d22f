"""The connections that are open, and why others no longer are."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..extension import Scope
from ..latency import Statistics
from ..log import client, path
from ..state import Keepalive, get_keepalive
from ..verdict import Verdict
from . import Observer

RECENT = 32
"""So many of a connection's last latencies are kept."""

FAILURES = 100
"""So many of the last failures are kept."""

State = Literal["new", "ok", "late", "unsupported"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A connection that has been failed.

    Example::

        for failure in live.failures:
            print(failure.client, failure.path, failure.verdict)

    Attributes:
        client: The address of its client.
        path: Its path, without the query string.
        at: When it was failed, in seconds since the epoch, as `time.time()`.
        verdict: Why it was failed.
    """

    client: str
    path: str
    at: float
    verdict: Verdict


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
        self._recent: deque[float] = deque(maxlen=RECENT)

    @property
    def age(self) -> float:
        """How long it has been open."""
        return time.monotonic() - self._opened_at

    @property
    def waiting(self) -> float | None:
        """How long a Pong has been awaited; `None` if none is."""
        since = self.keepalive._awaited_since
        return None if since is None else time.monotonic() - since

    @property
    def recent(self) -> deque[float]:
        """Its last latencies, the last of them last: a copy."""
        return self._recent.copy()

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
        if waiting is None or waiting <= 1:
            return False
        seen = self.statistics
        return seen.srtt is None or seen.rttvar is None or waiting > seen.srtt + 4 * seen.rttvar

    @property
    def slowness(self) -> float:
        """Its last latency, or how long a Pong has been awaited, whichever is longer."""
        return max(self.waiting or 0.0, self.keepalive.latency or 0.0)

    def opened(self) -> None:
        self._live._open[self.number] = self

    def ponged(self, latency: float) -> None:
        self._recent.append(latency)

    def failed(self, verdict: Verdict) -> None:
        self._live._failures.append(Failure(self.client, self.path, time.time(), verdict))

    def closed(self) -> None:
        self._live._open.pop(self.number, None)


class LiveConnections:
    """Keeps the open connections of its process.

    Iterate over it, or ask for its `len`, in any thread.

    Example::

        live = LiveConnections()
        app.add_middleware(KeepaliveMiddleware, observers=[live])
    """

    def __init__(self) -> None:
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

    def slowest_first(self) -> list[LiveConnection]:
        """Return those that are open now, sorted by `slowness`."""
        return sorted(self, key=lambda connection: connection.slowness, reverse=True)
