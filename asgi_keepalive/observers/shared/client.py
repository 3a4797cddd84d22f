"""Redis or Valkey, found by its URL: `pip install asgi-keepalive[redis]`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from ...extras import needs
from .commands import Command

with needs("redis"):
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.connection import ConnectionPool, SSLConnection, parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as Disconnected
    from redis.exceptions import RedisError, ResponseError

TIMEOUT = 4.0
"""Redis is taken for lost if it does not answer within so many seconds.

An event loop that has too much to do is late itself, and has to begin again after each loss.
"""

CLOSING = 0.5
"""To close connections takes so many seconds at most: TLS waits for the other side."""

READERS = 4
"""So many readings of one event loop can wait for Redis at a time; others queue."""

FIXED: dict[str, Any] = {
    "decode_responses": False,
    "encoding": "utf-8",
    "health_check_interval": 0,
    "protocol": 2,
    "retry": Retry(NoBackoff(), 0),
    # Until Python 3.12 what times out by `wait_for`, as these would, may swallow that its task is
    # cancelled, which would then never end.
    "socket_timeout": None,
    "socket_connect_timeout": None,
}
"""Options that a URL cannot change."""

LOST = (RedisError, OSError)
"""A command raises these if Redis is away, or refuses it."""


class TLSConnection(SSLConnection):
    """A connection that reads certificates in a thread, as that takes tens of milliseconds."""

    async def _connect(self) -> None:
        await asyncio.to_thread(self.ssl_context.get)  # which keeps what it has made
        await super()._connect()  # type: ignore[no-untyped-call]


class Address:
    """The address of a Redis. It shows neither name nor password.

    Args:
        url: Its URL, as `redis.from_url` takes it.

    Raises:
        TypeError: That is not a string.
        ValueError: It is not the URL of a Redis.
    """

    def __init__(self, url: str) -> None:
        if not isinstance(url, str):  # and it is not shown, as it may hold a password
            raise TypeError(f"redis_url must be a string, not of {type(url)}")
        try:
            self._options = {**parse_url(url), **FIXED}
            for one_of_a_pool in "max_connections", "timeout":
                self._options.pop(one_of_a_pool, None)
            if self._options.get("connection_class") is SSLConnection:
                self._options["connection_class"] = TLSConnection
            pool: Any = ConnectionPool(**self._options)
            pool.make_connection()
        except (TypeError, ValueError):
            raise ValueError(
                "redis_url must be the URL of a Redis: redis://HOST:PORT/DB, rediss://... or "
                "unix:///PATH; this one is not, and is not shown, as it may hold a password"
            ) from None

    def __str__(self) -> str:
        options = self._options
        if "path" in options:
            return f"{options['path']}"
        return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"

    async def lookup(self) -> OSError | None:
        """Look up its host, if it has one, and return the error if that cannot be found."""
        if "host" in self._options:
            try:
                await asyncio.get_running_loop().getaddrinfo(self._options["host"], None)
            except OSError as error:
                return error
        return None

    def writer(self) -> Client:
        """Return a client with one connection, which opens with the first command."""
        return Client(ConnectionPool(max_connections=1, **self._options))

    def reader(self) -> Client:
        """Return a client for several tasks of one event loop."""
        return Client(BlockingConnectionPool(READERS, TIMEOUT, **self._options))


class Client:
    """Runs pipelines in one event loop; replies are as Redis gives them."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._redis = Redis(connection_pool=pool)
        self._redis.response_callbacks.clear()

    async def execute(self, *commands: Command) -> list[Any]:
        """Run commands in one pipeline, and return their replies.

        Raises:
            RedisError: Redis does not answer in time, or one of the commands has failed.
            OSError: It cannot be reached.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                with suppress(Disconnected):
                    return await self._execute(commands)
                # The connection had been closed since it was used last.
                return await self._execute(commands)
        except TimeoutError:
            raise TimeoutError(f"no answer within {TIMEOUT:g} s") from None

    async def _execute(self, commands: tuple[Command, ...]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies = await pipeline.execute(raise_on_error=False)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, RedisError):  # its own error may show all that was to be written
                raise ResponseError(f"{' '.join(map(str, command[:2]))}: {reply}")
        return replies

    async def disconnect(self) -> None:
        """Close the connections; they open again if there are commands."""
        with suppress(*LOST):
            async with asyncio.timeout(CLOSING):
                await self._redis.connection_pool.disconnect()
