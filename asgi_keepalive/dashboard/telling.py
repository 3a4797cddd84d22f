"""The entries of `connections.json`. Times are in seconds."""

from __future__ import annotations

import dataclasses
import os
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..observers.live import Failure, LiveConnection, LiveConnections
from ..observers.metrics import BUCKETS
from ..observers.timeline import SLOT, SLOTS, Timeline

if TYPE_CHECKING:
    from ..observers.shared import SharedConnection, SharedFailure

Entry = dict[str, Any]


def process() -> Entry:
    """Return who answers, as there may be several processes."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def own() -> Entry:
    """Return the names of this process in the entry of each connection."""
    names = process()
    return {"process": "{host}:{pid}".format(**names), **names}


def own_process(live: LiveConnections, late: int, unsupported: int) -> Entry:
    """Return the entry of this process among those whose connections are told."""
    return {
        **own(),
        "open": len(live),
        "late": late,
        "unsupported": unsupported,
        "pings_per_second": live.timeline.pings_per_second,
    }


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


def failure(one: Failure | SharedFailure) -> Entry:
    """Return the entry of a connection that has been failed."""
    names = own() if isinstance(one, Failure) else {}
    told = {**names, **_fields(one), "why": str(one.verdict)}
    return {**told, "verdict": dataclasses.asdict(one.verdict)}


def connection(one: LiveConnection | SharedConnection, whole: bool = False) -> Entry:
    """Return the entry of an open connection, with its history if it is to be whole."""
    if not isinstance(one, LiveConnection):
        return _fields(one)
    seen = dataclasses.asdict(one.statistics)
    del seen["last_pong_at"]  # its clock means nothing to others
    return {
        **own(),
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


def _fields(one: Failure | SharedFailure | SharedConnection) -> Entry:
    return {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
