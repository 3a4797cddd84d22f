"""The open connections of all processes on all hosts: `pip install asgi-keepalive[redis]`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

from ...extension import Scope
from ...text import shown
from ...verdict import Verdict
from ..live import LiveConnection, LiveConnections
from .client import Address
from .keys import Keys
from .publisher import EXPIRY, Publisher
from .reading import Reader, RedisUnavailable
from .rows import SharedConnection, SharedFailure, SharedProcess

__all__ = [
    "RedisUnavailable",
    "SharedConnection",
    "SharedConnections",
    "SharedFailure",
    "SharedProcess",
]


class SharedConnections:
    """Keeps the open connections of all processes in Redis or Valkey.

    Example::

        shared = SharedConnections("redis://localhost:6379/0")
        app.add_middleware(KeepaliveMiddleware, observers=[shared])

    Each process tells Redis once a second what has changed. All network I/O is in one task of the
    event loop, which the first connection starts. Neither a Ping nor a message nor a close
    ever waits for it. It ends with the event loop. (On trio there is none, and only `live` knows of
    connections.)

    What is read may be late by as much as Redis is told: a connection that opens or closes, and a
    Ping or Pong, is seen about a second later. A process that is killed is gone after ten seconds
    at the latest. Settings that the application changes are seen with the next Ping. While Redis
    is away the log says so once, and reading raises `RedisUnavailable`. When it is back, all that
    is open is there again within about two seconds, even if Redis has lost everything.

    Args:
        redis_url: The URL of a Redis, such as `redis://:password@host:6379/0`, or `unix:///path`.
        prefix: The keys in Redis begin with it; processes that share it are seen together.

    Attributes:
        live: The connections of this process, as `LiveConnections`; this needs no Redis.

    Raises:
        TypeError: The URL or the prefix is not a string.
        ValueError: The URL is not one of a Redis, or the prefix is empty.
    """

    def __init__(
        self, redis_url: str, *, prefix: str = "asgi-keepalive", _expiry: float = EXPIRY
    ) -> None:
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be a string, not {shown(prefix)}")
        if not prefix:
            raise ValueError("prefix must not be empty")
        self.live = LiveConnections()
        self._address = Address(redis_url)
        self._keys = Keys(prefix)
        self._expiry = _expiry
        self._loops: dict[asyncio.AbstractEventLoop, Publisher] = {}
        self._total: int | None = None

    def __repr__(self) -> str:
        return f"<SharedConnections of {self._keys.prefix!r} in Redis at {self._address}>"

    def __call__(self, scope: Scope) -> LiveConnection:
        """Return the observer of one connection."""
        try:
            publisher = self._publisher()
        except RuntimeError:  # the loop is none of asyncio's
            return self.live(scope)
        return _Connection(self.live, next(self.live._numbers), scope, publisher)

    def __len__(self) -> int:
        """Return how many connections are open in all processes, as was counted lately.

        That is up to about two seconds old. It is the last known number while Redis is away, and
        that of this process before the first answer.
        """
        return len(self.live) if self._total is None else self._total

    async def __aiter__(self) -> AsyncIterator[SharedConnection]:
        """Iterate over the open connections of all processes, see `pages`."""
        async for page in self.pages():
            for connection in page:
                yield connection

    async def pages(
        self, size: int = 100, *, most: int | None = None
    ) -> AsyncIterator[list[SharedConnection]]:
        """Yield the open connections of all processes, `size` at a time, in no certain order.

        One that is open all the time is told once. One that opens or closes meanwhile may be left
        out.

        Args:
            size: So many are in a page, but in the last.
            most: About so many are read, of each process an equal share, and first those that are
                `late`; `None` reads all.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, not {shown(size)}")
        async for page in self._reader().pages(size, most):
            yield page

    async def where(self, *, client: str) -> list[SharedConnection]:
        """Return the open connections of a client.

        Args:
            client: Its address, as `SharedConnection.client`; without the port, all connections
                from that host are found.

        Raises:
            RedisUnavailable: Redis does not answer.
            TypeError: The address is not a string.
        """
        if not isinstance(client, str):
            raise TypeError(f'client must be a string, "host" or "host:port", not {shown(client)}')
        return await self._reader().where(client)

    async def find(self, process: str, number: int) -> SharedConnection | None:
        """Return the open connection of a number in a process, or `None` if there is none.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        found = await self._reader().rows(process, [number])
        return found[0] if found else None

    async def failures(self) -> list[SharedFailure]:
        """Return the last 100 failures in all processes, the last of them last.

        Those of processes that have ended stay for a day after the last failure of any.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        return await self._reader().failures()

    async def by_path(self, *paths: str) -> Counter[str]:
        """Return how many connections are open, by path: of these paths, or of all.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        return await self._reader().by_path(paths)

    async def by_process(self) -> list[SharedProcess]:
        """Return all processes, with how many connections each has.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        return await self._reader().processes()

    async def close(self) -> None:
        """Let this event loop's connections be gone from the view; Redis is told nothing more.

        Afterwards reading raises `RedisUnavailable`. Closing is needless where the event loop's
        tasks are cancelled in the end, as `asyncio.run` does, and `uvicorn`.
        """
        known = self._loops.get(asyncio.get_running_loop())
        if known is not None:
            await known.close()

    def _reader(self) -> Reader:
        publisher = self._publisher()
        if publisher.is_closed:
            raise RedisUnavailable("it has been closed")
        return publisher.reader

    def _publisher(self) -> Publisher:
        """Return that of the running event loop, and let its task run."""
        loop = asyncio.get_running_loop()
        known = self._loops.get(loop)
        if known is None:
            for other in [other for other in self._loops if other.is_closed()]:
                del self._loops[other]
            known = self._loops[loop] = Publisher(
                self._address, self._keys, self.live, self._counted, self._expiry
            )
        known.start()
        return known

    def _counted(self, total: int) -> None:
        self._total = total


class _Connection(LiveConnection):
    """A connection of this process, of which others will know."""

    def __init__(
        self, live: LiveConnections, number: int, scope: Scope, publisher: Publisher
    ) -> None:
        super().__init__(live, number, scope)
        self._changes = changes = publisher.changes
        self._changed, self._pinged = changes.dirty.add, changes.pinged.add
        self._publisher = publisher

    def opened(self) -> None:
        super().opened()
        self._changes.opened(self)

    def pinged(self) -> None:
        super().pinged()
        self._pinged(self.number)

    def ponged(self, latency: float) -> None:
        super().ponged(latency)
        self._changed(self.number)

    def failed(self, verdict: Verdict) -> None:
        super().failed(verdict)
        self._changes.failed(self._live._failures[-1], time.monotonic())

    def closed(self) -> None:
        super().closed()
        self._changes.closed(self)
        if not self._changes.open:
            self._publisher.hurry()
