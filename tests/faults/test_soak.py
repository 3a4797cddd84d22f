"""Thousands of connections for minutes: afterwards all is back at the start.

`SOAK_SECONDS=300 python -m pytest tests/faults/test_soak.py -s` soaks each server for five minutes
and tells the figures. `SOAK_CONNECTIONS` is how many there are at a time; with the `SOAK_SEED` of
another run each client does again what it did then.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asgi_keepalive.phases import EARLIEST, LATEST

from ..support.client import Client
from ..support.needs import unavailable
from ..support.process import Process, started, uvicorn
from .crowd import LOOK, Crowd, Life, held_for
from .soak_app import PING_INTERVAL, PING_TIMEOUT, Stalls

SECONDS = float(os.environ.get("SOAK_SECONDS", "6"))
CONNECTIONS = int(os.environ.get("SOAK_CONNECTIONS", "2000"))
SEED = os.environ.get("SOAK_SEED") or str(random.getrandbits(32))

EARLY = 0.005
"""How much earlier than expected, in seconds: some event loops count in whole milliseconds."""

LATE = 0.5
"""How much later than promised, in seconds, besides what a standing event loop explains."""

SLOW = 1.0
"""How long the clients' own event loop may stand still, in seconds, for them to count."""

MORE_OBJECTS = 300
"""By how many objects a process may grow: asyncio keeps up to a hundred cancelled timers."""

MORE_MEMORY = 32 * 2**20
"""By how much a process may grow, in bytes, between two crowds: it never gives all back."""

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.timeout(120 + 2 * SECONDS),
]


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Allow this process, and the servers that it starts, as many as they need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 100:
        unavailable(f"{CONNECTIONS} connections need more than {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("ws", "loop", "connections"),
    [
        ("websockets-sansio", "uvloop", CONNECTIONS),
        ("websockets-sansio", "asyncio", CONNECTIONS),
        ("wsproto", "uvloop", CONNECTIONS),
        # It needs several turns of the event loop where the others need one.
        ("websockets", "asyncio", CONNECTIONS // 4),
    ],
)
def test_all_is_back_at_the_start(ws: str, loop: str, connections: int) -> None:
    flags = ["--ws", ws, "--loop", loop, "--log-level", "warning", "--no-access-log"]
    with started(*uvicorn(*flags, app="tests.faults.soak_app:app")) as process:
        connect_once(process)
        start = Alive.of(process)
        logged = len(process.errors)
        # What only many connections need once, is allocated afterwards.
        before = soak(process, start, connections, SECONDS / 4)
        after = soak(process, start, connections, SECONDS)
        print(f"at the start: {start}\nbefore: {before}\nafter: {after}")
        assert after.counts - start.counts == Counter()
        more = after.objects - before.objects
        assert more.total() < MORE_OBJECTS, more.most_common(20)
        assert after.memory - before.memory < MORE_MEMORY
        assert [line for line in process.errors[logged:] if "no Pong for" not in line] == []


def connect_once(process: Process) -> None:
    """Let the server load and allocate what it needs for its first connection, and that end."""
    Client(process.port, path="/?0").open().close()
    end = time.monotonic() + 5
    while not ask(process, "/report")["ends"]:
        assert time.monotonic() < end
        time.sleep(0.05)


def soak(process: Process, start: Alive, connections: int, seconds: float) -> Alive:
    """Let a crowd live, and judge what the application was told; return what is alive then."""
    print(f"SOAK_SEED={SEED}")
    crowd = Crowd(process.port, connections, f"{SEED} {seconds}")
    asyncio.run(crowd.live(seconds))
    assert process.popen.poll() is None, process.output
    settle(process, start)
    judge = Judge(crowd, ask(process, "/report"))
    print(judge.figures())
    complaints = judge.complaints()
    assert not complaints, "\n".join([f"{len(complaints)} complaints", *complaints[:20]])
    return settle(process, start)


@dataclass
class Alive:
    """What a server has at one moment; `memory` is resident, in bytes."""

    counts: Counter[str]
    objects: Counter[str]
    memory: int

    @classmethod
    def of(cls, process: Process) -> Alive:
        found = ask(process, "/alive")
        objects = Counter(found["objects"])
        proc = Path(f"/proc/{process.popen.pid}")
        [kilobytes] = re.findall(r"VmRSS:\s+(\d+) kB", (proc / "status").read_text())
        counts = {
            "tasks": found["tasks"],
            "timers": found["timers"],
            "descriptors": len(list((proc / "fd").iterdir())),
            "sockets": len(held_for(process.port)),
            **{name: n for name, n in objects.items() if name.startswith("asgi_keepalive.")},
        }
        return cls(Counter(counts), objects, int(kilobytes) * 1024)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return f"{counts}; {self.objects.total()} objects; {self.memory / 2**20:.1f} MiB"


def settle(process: Process, start: Alive) -> Alive:
    """Return what is alive once that is no more than at the start, or after a while in any case."""
    end = time.monotonic() + 5
    while (alive := Alive.of(process)).counts - start.counts and time.monotonic() < end:
        time.sleep(0.1)
    return alive


def ask(process: Process, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
    connection.request("GET", path, headers={"Connection": "close"})
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


class Judge:
    """Compares what clients did with what the application was told of them."""

    def __init__(self, crowd: Crowd, report: dict[str, Any]) -> None:
        self.lives = crowd.lives
        self.ends = {end["client"]: end for end in report["ends"]}
        self.crowd_stalls = crowd.stalls
        self.server_stalls: Stalls = report["stalls"]

    def complaints(self) -> list[str]:
        return [
            f"{life} {complaint}; told: {self.ends.get(life.number)}"
            for life in self.lives
            if not self._was_slow_itself(life)
            for complaint in self._complaints(life)
        ]

    def _was_slow_itself(self, life: Life) -> bool:
        """Whether a client that complains may have kept the server waiting for too long."""
        at = life.complained_at
        return stood_still(self.crowd_stalls, at - PING_INTERVAL - PING_TIMEOUT, at) > SLOW

    def _complaints(self, life: Life) -> Iterator[str]:
        if life.complaint:
            yield "complained"
        end = self.ends.get(life.number)
        if end is None:
            yield "was not told"
            return
        if end["code"] not in life.codes:
            yield "was told with another code"
        if end["timed_out"] != life.dead:
            yield "was not dead" if end["timed_out"] else "was dead"
        if life.dead:
            yield from self._untimely(life, end)
        if life.silent:
            due = life.silent_at + life.gone_within + LOOK
            late = (
                life.gone_at
                - due
                - 2
                * stood_still(
                    [*self.server_stalls, *self.crowd_stalls], life.silent_at, life.gone_at
                )
            )
            if late > LATE:
                yield "was held too long"

    def _untimely(self, life: Life, end: dict[str, Any]) -> Iterator[str]:
        # Its last Pong answered a Ping from `latency` before, and the next came an interval later,
        # or sooner or later than that, as a crowd is spread.
        pinged_at = life.alive_at - (end["latency"] or 0) + EARLIEST * PING_INTERVAL
        if end["at"] < pinged_at + PING_TIMEOUT - EARLY:
            yield "was told too early"
        due = life.silent_at + LATEST * PING_INTERVAL + PING_TIMEOUT
        # Each stall may put a deadline off twice: until it is over, and to catch up with it.
        if end["at"] - due - 2 * stood_still(self.server_stalls, life.silent_at, end["at"]) > LATE:
            yield "was told too late"

    def figures(self) -> str:
        dead = [life for life in self.lives if life.dead and life.number in self.ends]
        worst = max(self.ends[life.number]["at"] - life.silent_at for life in dead)
        stall = max((seconds for _, seconds in self.server_stalls), default=0)
        doing = Counter(life.doing for life in self.lives)
        return (
            f"{len(self.lives)} connections; {len(dead)} died, and were told of within "
            f"{worst:.2f} s; the server stood still for at most {stall:.2f} s\n"
            + "\n".join(f"{count:8} {what}" for what, count in sorted(doing.items()))
        )


def stood_still(stalls: Stalls, since: float, until: float) -> float:
    """Return for how long an event loop stood still within that time, or a little around it."""
    return sum(seconds for start, seconds in stalls if since - seconds < start < until)
