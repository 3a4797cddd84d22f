"""The rows of the view, and which fields they have in Redis. What cannot be read is left out."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import chain
from typing import Any, get_args

from ...verdict import Reason, Verdict
from ..live import Failure, LiveConnection, RoundTrip, State, is_late
from .fields import NUMBER, OPTIONAL, dump, is_sane, load

FINE = 1e-4
"""Recent latencies are kept in units of so many seconds, as numbers without a point are short."""


@dataclass(frozen=True, slots=True)
class SharedProcess:
    """A process that has or had connections. A process with two event loops that have is two.

    Example::

        for process in await shared.by_process():
            print(process.host, process.pid, process.open)

    Attributes:
        process: Its identity, which no other process ever has.
        host: The name of its host.
        pid: The number of the process there.
        open: How many connections it has open.
        late: How many of them are in the state `late`.
        unsupported: How many of them have no keepalive.
        pings_per_second: How many Pings it writes a second.
    """

    process: str
    host: str
    pid: int
    open: int
    late: int
    unsupported: int
    pings_per_second: float


@dataclass(frozen=True, slots=True)
class SharedConnection:
    """An open connection of any process, as it was when it was read. Times are in seconds.

    Example::

        async for connection in shared:
            print(connection.host, connection.pid, connection.client, connection.latency)

    Attributes:
        process: The identity of its process.
        host: The name of its host.
        pid: The number of its process there.
        number: Its number; the connections of a process are counted from 1.
        client: The address of its client.
        path: Its path, without the query string.
        state: As that of `LiveConnection`.
        age: How long it has been open.
        waiting: How long a Pong has been awaited; `None` if none is.
        last_pong: How long ago the last Pong came; `None` before the first.
        ping_interval: The setting.
        ping_timeout: The setting.
        latency: The last round trip; `None` before the first, as the next four.
        srtt: The smoothed round-trip time.
        rttvar: The round-trip time variation.
        minimum: The shortest round trip.
        maximum: The longest.
        count: How many round trips there have been.
        pings: How many Pings have been written.
        recent: Its last latencies, the last of them last, to a tenth of a millisecond.
    """

    process: str
    host: str
    pid: int
    number: int
    client: str
    path: str
    state: State
    age: float
    waiting: float | None
    last_pong: float | None
    ping_interval: float | None
    ping_timeout: float | None
    latency: float | None
    srtt: float | None
    rttvar: float | None
    minimum: float | None
    maximum: float | None
    count: int
    pings: int
    recent: list[float]

    @property
    def slowness(self) -> float:
        """Its last latency, or how long a Pong has been awaited, whichever is longer."""
        return max(self.waiting or 0.0, self.latency or 0.0)


@dataclass(frozen=True, slots=True)
class SharedFailure:
    """A connection of any process that has been failed.

    Example::

        for failure in await shared.failures():
            print(failure.host, failure.client, failure.verdict)

    Attributes:
        process: The identity of its process.
        host: The name of its host.
        pid: The number of its process there.
        number: Its number, as that of `SharedConnection`.
        client: The address of its client.
        path: Its path, without the query string.
        at: When it was failed, in seconds since the epoch, by the clock of Redis.
        age: How long it had been open, in seconds.
        history: Its last round trips, the last of them last; seconds ago count from its failure.
        verdict: Why it was failed.
    """

    process: str
    host: str
    pid: int
    number: int
    client: str
    path: str
    at: float
    age: float
    history: list[RoundTrip]
    verdict: Verdict


# Processes.

SUMMARY = (str, int, int, int, int, NUMBER, NUMBER, NUMBER, list)


@dataclass(frozen=True, slots=True)
class Summary:
    """A process, and its clock.

    Attributes:
        told: What is told of the process.
        clock: What `time.monotonic()` was there when it was written.
        expiry: After how many seconds it expires then.
        late: The numbers of connections in the state `late`, but not of many.
    """

    told: SharedProcess
    clock: float
    expiry: float
    late: list[int]

    def dump(self) -> bytes:
        """Return it in its form in Redis, which is kept below its identity."""
        return dump([*astuple(self.told)[1:], self.clock, self.expiry, self.late])

    def now(self, left: int) -> float:
        """Return what `time.monotonic()` is there.

        Args:
            left: In how many milliseconds it expires. The clocks of two hosts need not agree.
        """
        return self.clock + max(0.0, self.expiry - float(left) / 1000)


def load_summary(process: str, raw: Any) -> Summary | None:
    """Return the summary of a process, if there is one."""
    fields = load(raw, SUMMARY)
    if fields is None:
        return None
    *told, clock, expiry, late = fields
    numbers = [number for number in late if isinstance(number, int)]
    return Summary(SharedProcess(process, *told), clock, expiry, numbers)


# Connections.

ROW = (str, str, bool, NUMBER, *[OPTIONAL] * 9, int, int, list)


def dump_connection(one: LiveConnection) -> bytes:
    """Return the row of a connection; its times are by the clock of its process."""
    keepalive, seen = one.keepalive, one.statistics
    times = (
        *(one._opened_at, keepalive._awaited_since, seen.last_pong_at),
        *(keepalive.ping_interval, keepalive.ping_timeout),
        *(seen.latency, seen.srtt, seen.rttvar, seen.minimum, seen.maximum),
    )
    return dump(
        [
            *(one.client, one.path, keepalive.supported),
            *(None if one is None else round(one, 5) for one in times),
            *(seen.count, seen.pings, [round(latency / FINE) for latency in one.recent]),
        ]
    )


def load_connection(
    raw: Any, number: Any, told: SharedProcess, now: float
) -> SharedConnection | None:
    """Return a connection, if its row can be read.

    Args:
        raw: The row.
        number: The number of the connection.
        told: Its process.
        now: The time by the clock of that.
    """
    fields = load(raw, ROW)
    if fields is None or not _are_latencies(fields[-1]):
        return None
    try:
        number = int(number)
    except ValueError:
        return None
    client, path, supported, opened, awaited, ponged, *settings, count, pings, recent = fields
    _, _, latency, srtt, rttvar, *_ = settings
    waiting = None if awaited is None else max(0.0, now - awaited)
    state: State = "new" if latency is None else "ok"
    if not supported:
        state = "unsupported"
    elif waiting is not None and is_late(waiting, srtt, rttvar):
        state = "late"
    return SharedConnection(
        *(told.process, told.host, told.pid, number, client, path, state),
        *(max(0.0, now - opened), waiting, None if ponged is None else max(0.0, now - ponged)),
        *(*settings, count, pings, [latency * FINE for latency in recent]),
    )


def _are_latencies(recent: list[Any]) -> bool:
    if not all(isinstance(latency, int) for latency in recent):
        return False
    return is_sane(min(recent, default=0)) and is_sane(max(recent, default=0))


# Failures.

FAILURE = (str, str, int, int, str, str, NUMBER, list, str, *[OPTIONAL] * 7)


def dump_failure(process: str, host: str, pid: int, one: Failure) -> bytes:
    """Return the form of a failure; when it happened is beside it in Redis."""
    history = [[round(ago, 3), round(latency, 5)] for ago, latency in one.history]
    return dump(
        [
            *(process, host, pid, one.number, one.client, one.path, round(one.age, 3)),
            *(history, *astuple(one.verdict)),
        ]
    )


def load_failure(raw: Any, at: float) -> SharedFailure | None:
    """Return a failure, if it can be read."""
    fields = load(raw, FAILURE)
    if fields is None or not is_sane(at):
        return None
    *names, age, history, reason, waited, quiet, unsent, behind, stalled, acknowledged, received = (
        fields
    )
    if reason not in get_args(Reason) or waited is None or stalled is None:
        return None
    verdict = Verdict(reason, waited, quiet, unsent, behind, stalled, acknowledged, received)
    try:
        str(verdict)  # it needs different evidence for each reason
        trips = [(float(ago), float(latency)) for ago, latency in history]
    except (TypeError, ValueError, OverflowError):
        return None
    if not all(map(is_sane, chain.from_iterable(trips))):
        return None
    process, host, pid, number, client, path = names
    return SharedFailure(process, host, pid, number, client, path, at, age, trips, verdict)
