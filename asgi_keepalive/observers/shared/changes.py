"""What has changed in an event loop's connections, as commands for Redis; there is no I/O here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from ..live import FAILURES, Failure, LiveConnection
from .commands import PIECE, Command, encoded, pieces
from .keys import Keys
from .rows import dump_connection

MOST = 500
"""So many rows are written by one pipeline, and so many are deleted."""

AGAIN = 300
"""Each row is written again after about so many pipelines, as settings change untold."""


class Changes:
    """Collects changes. Of each connection only the last state is kept, however long that takes.

    Args:
        keys: The keys of all processes.
        process: The identity of this process.
        expiry: After how many seconds its keys expire.

    Attributes:
        open: The open connections, by number.
        has_begun: Whether there has ever been one.
        dirty: The numbers of those whose row has changed.
        pinged: The numbers of those that a Ping has been written to.
        is_pending: Whether there was more than the last pipeline could tell.
    """

    def __init__(self, keys: Keys, process: str, expiry: float) -> None:
        self._keys = keys.of(process)
        self._expiry = round(expiry * 1000)
        self.open: dict[int, LiveConnection] = {}
        self.dirty: set[int] = set()
        self.pinged: set[int] = set()
        self._awaiting: set[int] = set()
        self._again: Iterator[int] = iter(())
        self._begins = True
        self.has_begun = self.is_pending = False
        self._closed: list[LiveConnection] = []
        self._paths: Counter[str] = Counter()
        self._changed_paths: set[str] = set()
        self._written: set[int] = set()
        self._written_paths: set[str] = set()
        self._failures: deque[tuple[float, Failure]] = deque(maxlen=FAILURES)
        self._new_failures: deque[tuple[float, Failure]] = deque(maxlen=FAILURES)

    # Observers tell of changes.

    def opened(self, connection: LiveConnection) -> None:
        """A connection is open."""
        self.has_begun = True
        self.open[connection.number] = connection
        self.dirty.add(connection.number)
        self._paths[connection.path] += 1
        self._changed_paths.add(connection.path)

    def failed(self, failure: Failure, at: float) -> None:
        """A connection has been failed, in monotonic seconds."""
        self._new_failures.append((at, failure))

    def closed(self, connection: LiveConnection) -> None:
        """A connection is not open any more."""
        number, path = connection.number, connection.path
        del self.open[number]
        for numbers in self.dirty, self.pinged, self._awaiting:
            numbers.discard(number)
        self._paths[path] -= 1
        if not self._paths[path]:
            del self._paths[path]
        if path in self._paths or path in self._written_paths:
            self._changed_paths.add(path)
        else:  # nobody will ever ask for it
            self._changed_paths.discard(path)
        if number in self._written:
            self._closed.append(connection)

    def late(self) -> list[int]:
        """Return the numbers of the connections in the state `late`."""
        self._awaiting = {one for one in self._awaiting if self.open[one].waiting is not None}
        return [one for one in self._awaiting if self.open[one].is_late]

    def unsupported(self) -> int:
        """Return how many connections have no keepalive."""
        return sum([not one.keepalive.supported for one in self.open.values()])

    # Redis is told of them.

    def begin_again(self) -> None:
        """Forget what is in Redis, and write everything."""
        self._begins = True
        self._closed.clear()
        self._written.clear()
        self._written_paths.clear()
        self.dirty.update(self.open)
        self._changed_paths = set(self._paths)
        self._new_failures = deque((*self._failures, *self._new_failures), FAILURES)
        self._failures.clear()

    def take(self) -> Iterator[Command]:
        """Yield commands that write changes, at most `MOST` rows; others may happen meanwhile."""
        if self._begins:
            self._begins = False
            yield ("UNLINK", self._keys.rows, self._keys.clients, self._keys.paths)
        # What happens from here on can wait, or else a busy process would never pause.
        self.is_pending = False
        yield from self._take_closed()
        yield from self._take_rows()
        yield from self._take_paths()
        for key in self._keys.rows, self._keys.clients, self._keys.paths:
            yield ("PEXPIRE", key, self._expiry)

    def _take_closed(self) -> Iterator[Command]:
        for _ in range(MOST // PIECE):
            closed = self._closed[:PIECE]
            if not closed:
                break
            del self._closed[:PIECE]
            self._written.difference_update(one.number for one in closed)
            yield ("HDEL", self._keys.rows, *[one.number for one in closed])
            yield ("ZREM", self._keys.clients, *map(member, closed))
        else:
            self.is_pending = True

    def _take_rows(self) -> Iterator[Command]:
        self._awaiting |= self.pinged
        self.dirty |= self.pinged
        self.pinged.clear()
        self._turn_over()
        for _ in range(MOST // PIECE):
            if not self.dirty:
                break
            rows = [self.open[self.dirty.pop()] for _ in range(min(PIECE, len(self.dirty)))]
            new = [one for one in rows if one.number not in self._written]
            self._written.update(one.number for one in new)
            yield (
                "HSET",
                self._keys.rows,
                *_pairs((one.number, dump_connection(one)) for one in rows),
            )
            if new:
                yield ("ZADD", self._keys.clients, *_pairs((0, member(one)) for one in new))
        else:
            self.is_pending = True

    def _turn_over(self) -> None:
        """Let some of the rows be written again."""
        some = list(islice(self._again, len(self.open) // AGAIN + 1))
        if not some:
            self._again = iter(list(self.open))
        self.dirty.update(number for number in some if number in self.open)

    def _take_paths(self) -> Iterator[Command]:
        changed, self._changed_paths = self._changed_paths, set()
        present = changed & self._paths.keys()
        self._written_paths |= present  # first: one that is closed meanwhile is deleted later
        for piece in pieces(present):
            yield ("HSET", self._keys.paths, *_pairs((encoded(p), self._paths[p]) for p in piece))
        for piece in pieces(changed & self._written_paths - self._paths.keys()):
            self._written_paths.difference_update(piece)
            yield ("HDEL", self._keys.paths, *map(encoded, piece))

    def take_failures(self) -> list[tuple[float, Failure]]:
        """Return the new failures, with when they happened."""
        new = list(self._new_failures)
        self._failures.extend(new)
        self._new_failures.clear()
        return new

    def checks(self) -> list[tuple[Command, int]]:
        """Return commands, and the answers to expect if Redis has what has been written."""
        return [
            (("HLEN", self._keys.rows), len(self._written)),
            (("ZCARD", self._keys.clients), len(self._written)),
            (("HLEN", self._keys.paths), len(self._written_paths)),
        ]


def member(connection: LiveConnection) -> bytes:
    """Return the member that finds a connection by its client."""
    return encoded(f"{connection.client} {connection.number}")


def _pairs(pairs: Iterable[tuple[bytes | int, bytes | int]]) -> Iterator[bytes | int]:
    return chain.from_iterable(pairs)
