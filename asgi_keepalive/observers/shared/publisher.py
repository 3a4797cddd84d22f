"""What one event loop tells Redis: one pipeline a second, in a task of its own."""

from __future__ import annotations

import asyncio
import contextvars
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from typing import Any

from ...log import logger
from ..live import FAILURES, LiveConnections
from .changes import Changes
from .client import LOST, Address, Client
from .commands import PIECE, Command
from .fields import load_count
from .keys import Keys
from .reading import Reader, identities, summaries
from .rows import SharedProcess, Summary, dump_failure

PERIOD = 1.0
"""So many seconds lie between two pipelines, and between two attempts to reach Redis."""

EXPIRY = 8.0
"""A process that writes nothing for so many seconds is gone from the view.

Others learn within two more seconds how many connections are left: those are ten in all.
"""

TURN = 900
"""A process counts the connections of all, and no other does for so many milliseconds."""

KEPT = 24 * 60 * 60
"""Failures are kept for so many seconds after the last of them, also those of ended processes."""

FAREWELL = 0.5
"""The end of the task waits for Redis for so many seconds at most."""


class Publisher:
    """Publishes the connections of one event loop.

    Args:
        address: Redis.
        keys: The keys of all processes.
        live: The connections of the process.
        counted: It is told how many connections there are in all processes.
        expiry: See `EXPIRY`.

    Attributes:
        changes: The observers tell it what changes.
        is_closed: Whether nothing will be published any more.
        reader: It reads in the same event loop, and ends with the task.
    """

    def __init__(
        self,
        address: Address,
        keys: Keys,
        live: LiveConnections,
        counted: Callable[[int], None],
        expiry: float,
    ) -> None:
        self._address = address
        self._keys = keys
        self._live = live
        self._counted = counted
        self._expiry = expiry
        self._identity = secrets.token_hex(8)
        self._summary = keys.of(self._identity).summary
        self._summarized: bytes | None = None
        self._host, self._pid = socket.gethostname(), os.getpid()
        self._offset = 0.0  # from the monotonic clock to that of Redis, once that is known
        self._hurried = asyncio.Event()
        self._is_lost = False
        self._lookup: asyncio.Task[OSError | None] | None = None
        self._may_hurry = True
        self._task: asyncio.Task[None] | None = None
        self.changes = Changes(keys, self._identity, expiry)
        self.is_closed = False
        self.reader = Reader(address, keys)

    def start(self) -> None:
        """Let the task run, if it does not."""
        if self.is_closed or (self._task is not None and not self._task.done()):
            return
        # In a context of its own: a task keeps the one that it is made in, here a connection's.
        loop = asyncio.get_running_loop()
        name = "asgi-keepalive: shared connections"
        self._task = contextvars.Context().run(lambda: loop.create_task(self._run(), name=name))

    def hurry(self) -> None:
        """Tell Redis at once, but no more than once a second.

        The last connection has closed: some servers end their process soon, by a signal.
        """
        if self._may_hurry:
            self._may_hurry = False
            self._hurried.set()

    async def close(self) -> None:
        """End the task, and let the process be gone from the view."""
        self.is_closed = True
        assert self._task is not None  # as nothing else begins with a publisher
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            await self._stay()
        finally:
            if self._lookup is not None:
                self._lookup.cancel()
            await self.reader.close()

    async def _stay(self) -> None:
        while True:
            client = self._address.writer()
            try:
                await self._look_up()
                await self._publish(client)
            except asyncio.CancelledError:
                await self._leave()
                raise
            except Exception as error:  # whatever it is, it must not end the view
                self._lost(error)
            finally:
                await client.disconnect()
            await asyncio.sleep(PERIOD)

    async def _look_up(self) -> None:
        """Wait until the host of Redis is found.

        A lookup takes one of the few threads of the event loop, which nobody can stop. So there is
        never more than one.
        """
        if self._lookup is None:
            self._lookup = asyncio.create_task(self._address.lookup())
        await asyncio.wait([self._lookup], timeout=PERIOD)
        if not self._lookup.done():
            raise TimeoutError("its address is not known yet")
        error = self._lookup.result()
        self._lookup = None
        if error is not None:
            raise error

    async def _publish(self, client: Client) -> None:
        """Tell Redis what changes, until that fails."""
        # This is little, and tells whether Redis can be written to at all.
        (seconds, micros), *_ = await client.execute(("TIME",), *self._presence())
        self._offset = int(seconds) + int(micros) / 1e6 - time.monotonic()
        while True:
            await self._write(client)
            if not self.changes.is_pending:
                self._found()
                await self._pause()

    async def _pause(self) -> None:
        """Wait until the next pipeline is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PERIOD):
                await self._hurried.wait()
                self._hurried.clear()
                return
        self._may_hurry = True

    async def _write(self, client: Client) -> None:
        """Write changes in one pipeline, and learn how many connections there are."""
        commands: list[Command] = []
        for command in self.changes.take():
            commands.append(command)
            await asyncio.sleep(0)
        # A replica that lacks the last writes may have as many rows, but it has an older summary.
        checks = [(("GET", self._summary), self._summarized), *self.changes.checks()]
        has_turn, total, *replies = await client.execute(
            ("SET", self._keys.turn, self._identity, "NX", "PX", TURN),
            ("GET", self._keys.total),
            *commands,
            *[command for command, _ in checks],
            *self._failures(),
            *self._presence(),
        )
        if replies[len(commands) :][: len(checks)] != [expected for _, expected in checks]:
            self.changes.begin_again()
        self._counted(await self._count(client) if has_turn else load_count(total))

    def _presence(self) -> list[Command]:
        """Return the commands that renew this process, if it has had connections."""
        changes = self.changes
        if not changes.has_begun:
            return []
        late = changes.late()
        told = SharedProcess(
            *(self._identity, self._host, self._pid),
            *(len(changes.open), len(late), changes.unsupported()),
            round(self._live.timeline.pings_per_second, 2),
        )
        summary = Summary(told, time.monotonic(), self._expiry, late[:PIECE])
        self._summarized = summary.dump()
        return [
            ("SET", self._summary, self._summarized, "PX", round(self._expiry * 1000)),
            ("SADD", self._keys.processes, self._identity),
        ]

    def _failures(self) -> list[Command]:
        """Return the commands that add new failures to those of all processes."""
        key = self._keys.failures
        added: list[Any] = []
        for at, failure in self.changes.take_failures():
            told = dump_failure(self._identity, self._host, self._pid, failure)
            added += [f"{self._offset + at:.6f}", told]
        if not added:
            return []
        return [
            ("ZADD", key, "NX", *added),
            ("ZREMRANGEBYRANK", key, 0, -FAILURES - 1),
            ("EXPIRE", key, KEPT),
        ]

    async def _count(self, client: Client) -> int:
        """Count the connections of all processes, and tell the others."""
        known = await identities(client, self._keys)
        found = await summaries(client, self._keys, known)
        total = sum(one.told.open for one in found)
        gone = set(known).difference(one.told.process for one in found)
        await client.execute(
            ("SET", self._keys.total, total, "PX", round(self._expiry * 1000)),
            *[("SREM", self._keys.processes, one) for one in gone],
        )
        return total

    async def _leave(self) -> None:
        """Let this process be gone from the view, if Redis can be reached right now."""
        if self._is_lost:
            return
        farewell: tuple[Command, ...] = (
            *(self._failures() if self._offset else []),
            ("UNLINK", *astuple(self._keys.of(self._identity))),
            ("SREM", self._keys.processes, self._identity),
        )
        client = self._address.writer()  # the other was interrupted somewhere
        with suppress(*LOST):
            async with asyncio.timeout(FAREWELL):
                await client.execute(*farewell)
        await client.disconnect()

    def _lost(self, error: Exception) -> None:
        self.changes.begin_again()
        if not self._is_lost:
            self._is_lost = True
            logger.warning(
                "Redis at %s is lost, so others do not see this process's connections: %s",
                *(self._address, str(error) or repr(error)),
            )

    def _found(self) -> None:
        if self._is_lost:
            self._is_lost = False
            logger.info("Redis at %s is back, with all connections of this process", self._address)
