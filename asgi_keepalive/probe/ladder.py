"""The idle limit: connections that are silent for longer and longer, all at once.

Each is silent but for Pongs, which answer the server's Pings: otherwise its keepalive would end
the connection. At its end a rung sends a Ping: what has forgotten the connection does not answer.
One more connection is never silent. If that is cut, too, it was not the silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from time import monotonic

from .client import Connection
from .connecting import NotConnected, connected
from .facts import Facts, Rung
from .options import STEP
from .path import answers_ping
from .target import Target


def goals(limit: float, count: int) -> list[float]:
    """Return for how long each rung is silent, in seconds, the shortest first."""
    return [limit / STEP**step for step in reversed(range(count))]


async def climb(target: Target, facts: Facts, limit: float, count: int) -> None:
    """Let connections be silent for up to `limit` seconds.

    Raises:
        NotConnected: One of them was refused; the others have done what they are for.
    """
    facts.ladder = [Rung(goal) for goal in goals(limit, count)]
    facts.busy = Rung(0.0)
    refused: list[NotConnected] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(_unless_refused(_be_busy(target, facts.busy, limit), refused))
        for rung in facts.ladder:
            group.create_task(_unless_refused(_be_silent(target, rung), refused))
    if refused:
        raise refused[0]


async def _unless_refused(climbing: Awaitable[None], refused: list[NotConnected]) -> None:
    """Let one connection be refused without an end to the others."""
    try:
        await climbing
    except NotConnected as error:
        refused.append(error)


async def _be_silent(target: Target, rung: Rung) -> None:
    async with connected(target) as connection:
        try:
            await connection.last(connection.opened + rung.goal)
        finally:
            _note(connection, rung)
        await _see_whether_it_lives(connection, rung, target.timeout)


async def _see_whether_it_lives(connection: Connection, rung: Rung, within: float) -> None:
    if rung.ending is not None:
        return
    rung.answered = await answers_ping(connection, within)
    connection.settle()
    rung.ending = connection.ending
    if rung.ending is not None:
        rung.ending.asked = True


async def _be_busy(target: Target, busy: Rung, limit: float) -> None:
    between = min(1.0, limit / 20)
    async with connected(target) as connection:
        try:
            while connection.ending is None and monotonic() < connection.opened + limit:
                if not connection.is_closing:
                    await connection.ping(b"busy")
                await connection.last(monotonic() + between)
        finally:
            _note(connection, busy)


def _note(connection: Connection, rung: Rung) -> None:
    """Take in how a connection has been until now."""
    connection.settle()
    rung.life = monotonic() - connection.opened
    rung.silence, rung.own_silence = connection.silence, connection.own_silence
    rung.pings, rung.ending = connection.pings, connection.ending
