"""The parts of a probe, in their order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from .client import Answers
from .conclusions import expected, timeout_seen
from .connecting import NotConnected
from .facts import Facts
from .keepalive import misbehave, read_nothing, watch
from .ladder import climb
from .options import Options
from .path import ask_for_heartbeats, measure
from .target import Target

Tell = Callable[[str], None]
"""Tells the user what is being done."""


class Probe:
    """One probe of an endpoint.

    Args:
        facts: Takes in all that is seen, as soon as it is.
    """

    def __init__(self, target: Target, options: Options, facts: Facts, tell: Tell) -> None:
        self._target = target
        self._options = options
        self._facts = facts
        self._tell = tell
        self._free = asyncio.Semaphore(options.parallel)

    async def run(self) -> None:
        """Do all parts; what cannot be done is noted, and the rest goes on."""
        options = self._options
        self._tell("connecting, and measuring the round trip")
        try:
            await measure(self._target, self._facts, options.pings)
        except NotConnected:
            return
        await self._part("heartbeats", "asking for heartbeats, as a page does", self._heartbeats)
        if options.parallel == 1:
            await self._keepalive()
            await self._ladder()
        else:
            await asyncio.gather(self._keepalive(), self._ladder())

    async def _part(self, name: str, text: str, part: Callable[[], Awaitable[None]]) -> None:
        async with self._free:
            self._tell(text)
            try:
                await part()
            except NotConnected as error:
                self._facts.refused[name] = str(error)

    async def _heartbeats(self) -> None:
        await ask_for_heartbeats(self._target, self._facts)

    async def _ladder(self) -> None:
        options = self._options
        if not options.idle_limit:
            return
        self._tell(f"being silent for up to {options.idle_limit:g} s")
        try:
            await climb(self._target, self._facts, options.idle_limit, options.rungs)
        except NotConnected as error:
            self._facts.refused["ladder"] = str(error)

    async def _keepalive(self) -> None:
        text = f"waiting for Pings, up to {self._options.watch:g} s"
        await self._part("watch", text, self._watch)
        seen = self._facts.watch
        if seen is None or not (seen.pings or seen.messages):
            return
        if not seen.pings:
            await self._part("unread", "reading nothing", self._unread)
            return
        await asyncio.gather(self._answers(), self._part("unread", "reading nothing", self._unread))

    async def _watch(self) -> None:
        await watch(self._target, self._facts, self._options.watch)

    async def _answers(self) -> None:
        await self._part("silent", "answering no Ping", self._silent)
        if timeout_seen(self._facts) is not None:
            await self._part("wrong", "answering with wrong Pongs", self._wrong)

    @property
    def _first(self) -> float:
        """How long to wait for the first Ping, in seconds."""
        return max(self._options.watch, 2 * (expected(self._facts.watch) or 0))

    @property
    def _between(self) -> float | None:
        """How often a client has to send something, so that it is not cut, in seconds."""
        return self._facts.watch.between if self._facts.watch else None

    async def _silent(self) -> None:
        self._facts.silent = await misbehave(
            self._target, Answers.NONE, self._first, self._options.patience, self._between
        )

    async def _wrong(self) -> None:
        # It need not be watched for longer than one that answers nothing was let live.
        enough = 1.25 * (timeout_seen(self._facts) or 0) + 1
        self._facts.wrong = await misbehave(
            self._target, Answers.WRONG, self._first, enough, self._between
        )

    async def _unread(self) -> None:
        first = expected(self._facts.watch) or 0
        if sys.platform != "win32":  # where a connection that is not read does not tell its end
            self._facts.unread = await read_nothing(
                self._target, first + self._options.patience, self._between
            )
