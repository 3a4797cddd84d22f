"""The entries of `connections.json`. Times are in seconds."""

from __future__ import annotations

import dataclasses
import os
import socket
import time
from collections import Counter
from typing import Any

from ..observers.live import Failure, LiveConnection
from ..observers.metrics import BUCKETS
from ..observers.timeline import SLOT, SLOTS, Timeline

Entry = dict[str, Any]


def process() -> Entry:
    """Return who answers, as there may be several processes."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def timeline(counted: Timeline) -> Entry:
    """Return the entry of what has happened lately."""
    slots = counted.slots
    began = time.time() - time.monotonic()
    failed = sum((slot.failed for slot in slots), Counter[str]())
    return {
        "seconds": SLOT * SLOTS,
        "slot": SLOT,
        "bounds": BUCKETS,
        "pings_per_second": counted.pings_per_second,
        "failed": failed,
        "slots": [
            {
                "at": began + slot.start,
                "pings": slot.pings,
                "latencies": slot.latencies,
                "failed": slot.failed,
            }
            for slot in slots
        ],
    }


def failure(one: Failure) -> Entry:
    """Return the entry of a connection that has been failed."""
    return {
        "number": one.number,
        "client": one.client,
        "path": one.path,
        "at": one.at,
        "age": one.age,
        "why": str(one.verdict),
        "verdict": dataclasses.asdict(one.verdict),
        "history": one.history,
    }


def connection(one: LiveConnection, whole: bool = False) -> Entry:
    """Return the entry of an open connection, with its history if it is to be whole."""
    seen = dataclasses.asdict(one.statistics)
    del seen["last_pong_at"]  # its clock means nothing to others
    return {
        "number": one.number,
        "client": one.client,
        "path": one.path,
        "state": one.state,
        "age": one.age,
        "waiting": one.waiting,
        "last_pong": one.since_last_pong,
        "ping_interval": one.keepalive.ping_interval,
        "ping_timeout": one.keepalive.ping_timeout,
        **seen,
        "recent": one.recent,
        **({"history": one.history} if whole else {}),
    }
