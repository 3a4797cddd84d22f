"""The keepalive of the other end: its Pings, and what it does to clients that misbehave."""

from __future__ import annotations

import asyncio
import time
from time import monotonic

from websockets.frames import Opcode

from .client import Answers, Connection, Received
from .conclusions import AT_ONCE
from .connecting import connected
from .facts import Ending, Facts, ServerPing, Trial, Watch
from .target import Target

ENOUGH = 4
"""Pings that are waited for, so that there are three intervals."""

RECEIVE_BUFFER = 4096
"""Bytes that the kernel takes in for a client that reads nothing, and doubles."""

DRAIN = 0.5
"""Seconds for which it reads in the end what it has left unread."""


async def watch(target: Target, facts: Facts, seconds: float) -> None:
    """Answer Pings until enough of them have come.

    If the connection is cut before the first, it was perhaps silent for too long. Then the client
    tries once more, and sends Pings of its own.

    Raises:
        NotConnected: The endpoint cannot be reached any more.
    """
    await _watch(target, facts, seconds)
    seen = facts.watch
    ending = seen.ending if seen is not None and not seen.pings else None
    if ending is not None and ending.after > AT_ONCE:
        await _watch(target, facts, seconds, ending.after / 3, ending)


async def _watch(
    target: Target,
    facts: Facts,
    seconds: float,
    between: float | None = None,
    earlier: Ending | None = None,
) -> None:
    """Watch one connection.

    Raises:
        NotConnected: The endpoint cannot be reached any more.
    """
    async with connected(target) as connection:
        seen = facts.watch = Watch(between=between, earlier=earlier)
        until = connection.opened + seconds
        try:
            while len(seen.pings) < ENOUGH and (
                received := await _next(connection, until, between)
            ):
                after = received.at - connection.opened
                if received.opcode == Opcode.PING:
                    seen.pings.append(ServerPing(after, time.time(), received.payload))
                elif received.opcode in (Opcode.TEXT, Opcode.BINARY):
                    seen.messages += 1
        except asyncio.CancelledError:
            seen.cut_short = True
            raise
        finally:
            connection.settle()
            seen.ending = end = connection.ending
            seen.seconds = end.after if end is not None else monotonic() - connection.opened


async def misbehave(
    target: Target, answers: Answers, first: float, patience: float, between: float | None
) -> Trial:
    """Answer Pings wrongly or not at all, and see how that ends.

    Args:
        first: How long to wait for the first Ping, in seconds.
        patience: How long to wait for the end, from that Ping on.
        between: How often it sends a Ping of its own, in seconds; `None` for never.

    Raises:
        NotConnected: The endpoint cannot be reached any more.
    """
    async with connected(target) as connection:
        connection.answers = answers
        ping_after = None
        until = connection.opened + first
        while received := await _next(connection, until, between):
            if received.opcode == Opcode.PING and ping_after is None:
                ping_after = received.at - connection.opened
                until = received.at + patience
        return _trial(connection, ping_after)


async def read_nothing(target: Target, patience: float, between: float | None) -> Trial:
    """Read nothing, and see how that ends.

    Args:
        patience: How long to wait for the end, in seconds.
        between: How often it sends a Ping of its own, in seconds; `None` for never.

    Raises:
        NotConnected: The endpoint cannot be reached any more.
    """
    async with connected(target, receive_buffer=RECEIVE_BUFFER) as connection:
        connection.answers = Answers.NONE
        hung_up = await _hung_up(connection, connection.opened + patience, between)
        at = monotonic()
        unread = await connection.unread(at + DRAIN)
        waited, ending = at - connection.opened, None
        if hung_up:
            # The end may be behind more than was read now; nothing but FIN can be.
            ending = connection.ending or Ending(waited, "FIN")
            ending.after = waited
        return Trial(waited, None, ending, unread)


async def _hung_up(connection: Connection, until: float, between: float | None) -> bool:
    """Return whether it ends until then; send Pings of its own meanwhile."""
    while between is not None and (at := connection.last_sent + between) < until:
        if await connection.wire.hung_up(at):
            return True
        await connection.ping(b"")
    return await connection.wire.hung_up(until)


async def _next(connection: Connection, until: float, between: float | None) -> Received | None:
    """Return the next frame, and send a Ping of its own wherever nothing was sent for long."""
    while True:
        quiet = between is None or connection.is_closing
        at = until if quiet else min(until, connection.last_sent + (between or 0))
        received = await connection.next(at)
        if received is not None or connection.ending is not None or monotonic() >= until:
            return received
        await connection.ping(b"")


def _trial(connection: Connection, ping_after: float | None) -> Trial:
    connection.settle()
    return Trial(monotonic() - connection.opened, ping_after, connection.ending)
