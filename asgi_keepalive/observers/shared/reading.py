"""What all processes have told Redis."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...exceptions import KeepaliveError
from ..live import FAILURES
from .client import LOST, Address, Client
from .commands import PIECE, Command, encoded, pieces
from .fields import load_count
from .keys import Keys
from .rows import (
    SharedConnection,
    SharedFailure,
    SharedProcess,
    Summary,
    load_connection,
    load_failure,
    load_summary,
)

FEW = 10
"""So many processes are asked at a time, as the reply of each may be long."""

Pair = tuple[Any, Any]


class RedisUnavailable(KeepaliveError, ConnectionError):
    """Redis does not answer, or refuses; it may do so later.

    Example::

        try:
            print(await shared.by_path())
        except RedisUnavailable as error:
            print(error)
    """


async def identities(client: Client, keys: Keys) -> list[str]:
    """Return the identities of all processes; some may be gone."""
    [members] = await client.execute(("SMEMBERS", keys.processes))
    return sorted(one.decode(errors="replace") for one in members)


async def summaries(client: Client, keys: Keys, known: Iterable[str]) -> list[Summary]:
    """Return the summaries of those of these processes that are not gone."""
    found: list[Summary] = []
    for piece in pieces(known):
        [raw] = await client.execute(("MGET", *[keys.of(one).summary for one in piece]))
        loaded = [load_summary(*pair) for pair in zip(piece, raw, strict=True)]
        found += filter(None, loaded)
    return found


class Reader:
    """Reads in one event loop.

    Args:
        address: Redis.
        keys: The keys of all processes.
    """

    def __init__(self, address: Address, keys: Keys) -> None:
        self._address = address
        self._keys = keys
        self._client = address.reader()

    async def close(self) -> None:
        """Close the connections to Redis; they open again if they are needed."""
        await self._client.disconnect()

    async def processes(self) -> list[SharedProcess]:
        """Return all processes."""
        with self._answering():
            known = await identities(self._client, self._keys)
            return [one.told for one in await summaries(self._client, self._keys, known)]

    async def failures(self) -> list[SharedFailure]:
        """Return the last failures."""
        with self._answering():
            [raw] = await self._client.execute(
                ("ZRANGE", self._keys.failures, -FAILURES, -1, "WITHSCORES")
            )
        loaded = [load_failure(one, float(at)) for one, at in _paired(raw)]
        return [one for one in loaded if one is not None]

    async def by_path(self, paths: tuple[str, ...]) -> Counter[str]:
        """Return how many connections there are, by path; of all paths, or of these."""
        counted = Counter[str]()
        with self._answering():
            for some in pieces(await identities(self._client, self._keys), FEW):
                keys = [self._keys.of(one).paths for one in some]
                async for path, count in self._named(keys, paths) if paths else self._all(keys):
                    counted[path.decode(errors="replace")] += load_count(count)
        return +counted

    async def _named(self, keys: list[str], paths: tuple[str, ...]) -> AsyncIterator[Pair]:
        """Yield some fields of hashes."""
        fields = [encoded(path) for path in paths]
        asked: list[Command] = [("HMGET", key, *fields) for key in keys]
        for reply in await self._client.execute(*asked):
            for pair in zip(fields, reply, strict=True):
                yield pair

    async def _all(self, keys: list[str]) -> AsyncIterator[Pair]:
        """Yield all fields of hashes."""
        cursors: dict[str, Any] = dict.fromkeys(keys, 0)
        found: dict[tuple[str, bytes], Any] = {}  # as Redis may tell of one twice
        while cursors:
            asked: list[Command] = [
                ("HSCAN", key, cursor, "COUNT", PIECE) for key, cursor in cursors.items()
            ]
            replies = await self._client.execute(*asked)
            for key, (cursor, flat) in zip(list(cursors), replies, strict=True):
                cursors[key] = cursor
                if cursor == b"0":
                    del cursors[key]
                found |= {(key, field): value for field, value in _paired(flat)}
        for (_, field), value in found.items():
            yield field, value

    async def where(self, client: str) -> list[SharedConnection]:
        """Return the connections of a client."""
        rows: list[SharedConnection] = []
        with self._answering():
            for piece in pieces(await identities(self._client, self._keys), FEW):
                ranges = [one for process in piece for one in _ranges(self._keys, process, client)]
                replies = iter(await self._client.execute(*ranges))
                for process, exact, others in zip(piece, replies, replies, strict=False):
                    numbers = [*_numbers(exact, client), *_numbers(others, client)]
                    for some in pieces(numbers):
                        rows += await self.rows(process, some)
        return rows

    async def rows(self, process: str, numbers: Sequence[int]) -> list[SharedConnection]:
        """Return those connections of a process that are open."""
        keys = self._keys.of(process)
        with self._answering():
            raw, left, rows = await self._client.execute(
                *_ask(keys.summary),
                ("HMGET", keys.rows, *numbers),
            )
        return _loaded(process, raw, left, zip(numbers, rows, strict=True))

    async def pages(self, size: int, most: int | None) -> AsyncIterator[list[SharedConnection]]:
        """Yield all connections, by so many; if there is a bound, each process has its share."""
        page: list[SharedConnection] = []
        with self._answering():
            known = await identities(self._client, self._keys)
        rest = math.inf if most is None else most
        for n, process in enumerate(known):
            async for rows in self._scan(process, size, rest / (len(known) - n)):
                rest -= len(rows)
                page += rows
                while len(page) >= size:
                    yield page[:size]
                    del page[:size]
        if page:
            yield page

    async def _scan(
        self, process: str, size: int, share: float
    ) -> AsyncIterator[list[SharedConnection]]:
        keys = self._keys.of(process)
        cursor: Any = 0
        seen: set[bytes] = set()  # as Redis may tell of one twice
        if share < math.inf:
            late = await self._late(process)
            seen.update(str(one.number).encode() for one in late)
            yield late
        count = size if share >= size else max(1, math.ceil(share))
        while cursor != b"0" and len(seen) < share:
            with self._answering():
                raw, left, (cursor, flat) = await self._client.execute(
                    *_ask(keys.summary), ("HSCAN", keys.rows, cursor, "COUNT", count)
                )
            rows = [one for one in _paired(flat) if one[0] not in seen]
            seen.update(flat[::2])
            for piece in pieces(rows):
                yield _loaded(process, raw, left, piece)
                await asyncio.sleep(0)

    async def _late(self, process: str) -> list[SharedConnection]:
        """Return those connections of a process that are in the state `late`."""
        with self._answering():
            [raw] = await self._client.execute(("GET", self._keys.of(process).summary))
        summary = load_summary(process, raw)
        return await self.rows(process, summary.late) if summary and summary.late else []

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except LOST as error:
            raise RedisUnavailable(f"Redis at {self._address} cannot be read: {error}") from error


def _ask(summary: str) -> tuple[Command, Command]:
    """Return commands that tell of a process, and for how long that will be there."""
    return ("GET", summary), ("PTTL", summary)


def _loaded(process: str, raw: Any, left: int, rows: Iterable[Pair]) -> list[SharedConnection]:
    summary = load_summary(process, raw)
    if summary is None:  # the process is gone
        return []
    now = summary.now(left)
    loaded = [load_connection(row, number, summary.told, now) for number, row in rows]
    return [one for one in loaded if one is not None]


def _paired(flat: list[Any]) -> Iterator[Pair]:
    return zip(flat[::2], flat[1::2], strict=True)


# Clients. Members of the sorted set are as `member` of `changes` makes them: "192.0.2.1:50000 7".


def _ranges(keys: Keys, process: str, client: str) -> tuple[Command, Command]:
    """Return commands that find a client with its port, or a host with any port."""
    key, name = keys.of(process).clients, encoded(client)
    exact = ("ZRANGEBYLEX", key, b"[" + name + b" ", b"(" + name + b"!")
    return exact, ("ZRANGEBYLEX", key, b"[" + name + b":", b"(" + name + b";")


def _numbers(members: list[bytes], client: str) -> Iterator[int]:
    rest = re.compile(re.escape(encoded(client)) + rb"(?::\d+)? (\d+)")
    for one in members:
        if found := rest.fullmatch(one):
            yield int(found[1])
