"""The handshake, the round trip, and whether pages get heartbeats."""

from __future__ import annotations

import asyncio
import json
import os
import re
from math import isfinite
from time import monotonic

from websockets.frames import Opcode

from .client import Connection
from .connecting import connected
from .facts import Facts, Heartbeats
from .target import Target

BETWEEN = 0.05
"""Seconds from a Pong to the next Ping."""

FIRST_HEARTBEAT = 2.0
"""Seconds until a heartbeat that is asked for, at most: it comes with the first messages."""


async def measure(target: Target, facts: Facts, pings: int) -> None:
    """Connect, and measure the round trip by Pings of its own.

    Raises:
        NotConnected: There is no way to the endpoint, or it refuses.
    """
    async with connected(target, facts.handshake) as connection:
        for _ in range(pings):
            began = monotonic()
            if not await answers_ping(connection, target.timeout):
                facts.lost += connection.ending is None and not connection.is_closing
                return
            facts.round_trips.append(monotonic() - began)
            await asyncio.sleep(BETWEEN)


async def answers_ping(connection: Connection, within: float) -> bool:
    """Return whether a Ping is answered in time."""
    payload = os.urandom(8)
    until = monotonic() + within
    await connection.ping(payload)
    while received := await connection.next(until):
        if received.opcode == Opcode.PONG and received.payload == payload:
            return True
    return False


async def ask_for_heartbeats(target: Target, facts: Facts) -> None:
    """Ask for heartbeats as a page does, and see whether they come.

    Raises:
        NotConnected: The endpoint refuses such a client.
    """
    nonce = os.urandom(16).hex()
    async with connected(target.asking(f"asgi-keepalive={nonce}")) as connection:
        until = monotonic() + min(FIRST_HEARTBEAT, target.timeout)
        while received := await connection.next(until):
            if received.opcode == Opcode.TEXT and (found := heartbeat(nonce, received.payload)):
                facts.heartbeats = found
                return


def heartbeat(nonce: str, payload: bytes) -> Heartbeats | None:
    """Return what a text message tells if it is a heartbeat."""
    text = payload.decode(errors="replace")
    if not re.fullmatch(nonce + r"\{.*\}", text):
        return None
    try:
        told = json.loads(text[len(nonce) :])
    except ValueError:
        return None
    return Heartbeats(_number(told.get("interval")), _number(told.get("timeout")))


def _number(told: object) -> float | None:
    """Return what is told if it is a time, and not anything else that JSON has."""
    return float(told) if isinstance(told, int | float) and isfinite(told) else None
