"""What one contender does: CPU time, memory, bytes on the wire, and how late it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parents[1]

SETTLE = 1.0
"""Seconds after which new connections are idle."""

CLIENTS = 10
"""Connections that echo at the same time."""

BURST = 200
"""Messages that each of them sends in a round."""

ECHO_ROUNDS = 10
"""Rounds in each launch."""

IDLE_ROUNDS = 4
"""The same of idle connections."""

ROUND = 2.0
"""Seconds for which idle connections are measured in a round."""

MIDDLEWARE = "middleware, sansio"
AGED = "with max_age"


class Process:
    """A process of this package, which listens to its standard input and runs on one core."""

    def __init__(self, core: int, *arguments: str) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.pid = self._process.pid
        os.sched_setaffinity(self.pid, {cores[core % len(cores)]})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")

    def hear(self) -> Any:
        """Return the next line of its standard output, which is JSON."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def cpu_of(pid: int) -> float:
    """Return the CPU time that a process has used so far, in seconds (`schedstat`, see proc(5))."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


class Server(Process):
    """One contender."""

    def __init__(
        self, name: str, loop: str, interval: float | None, timeout: float, core: int = 0
    ) -> None:
        options = json.dumps(interval), json.dumps(timeout)
        super().__init__(core, "benchmarks.contenders", name, loop, *options)
        self.port: int = self.hear()

    def report(self) -> Any:
        """Return what it has seen, a `contenders.Report` as a dictionary."""
        self.tell("report")
        return self.hear()

    def cpu(self) -> float:
        """Return the CPU time that it has used so far, in seconds."""
        return cpu_of(self.pid)

    def memory(self) -> int:
        """Return its anonymous resident memory in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("RssAnon:")]
        return int(line.split()[1]) * 1024


class Crowd(Process):
    """The clients."""

    def __init__(self, module: str = "benchmarks.crowd") -> None:
        super().__init__(1, module)

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of `crowd.Crowd` there."""
        self.tell(json.dumps([method, *arguments]))
        return self.hear()


class Entry(NamedTuple):
    """A contender and its clients, each on a core of its own."""

    server: Server
    crowd: Crowd

    def connect(self, count: int) -> None:
        """Open so many connections more."""
        self.crowd.call("connect", self.server.port, count)

    def meter(self) -> tuple[float, int]:
        """Return the server's CPU seconds so far, and the Pings that have come."""
        return self.server.cpu(), self.crowd.call("count_pings")


class Load(NamedTuple):
    """A contender, its connections, and its `ping_interval` in seconds."""

    name: str
    connections: int = CLIENTS
    interval: float = 20


@contextmanager
def contest(loads: Iterable[Load], loop: str, timeout: float = 20) -> Iterator[dict[Load, Entry]]:
    """Run contenders at the same time, so that what disturbs one disturbs all."""
    loads = list(loads)
    with entered(loads, loop, timeout) as entries:
        yield dict(zip(loads, entries, strict=True))


@contextmanager
def entered(loads: Iterable[Load], loop: str, timeout: float = 20) -> Iterator[list[Entry]]:
    """Run contenders at the same time; the same may run several times."""
    with ExitStack() as stack:
        yield [
            Entry(
                stack.enter_context(Server(load.name, loop, load.interval, timeout)),
                stack.enter_context(Crowd()),
            )
            for load in loads
        ]


def echo(
    names: Iterable[str], loop: str, size: int, launches: int, *, deflate: bool = False
) -> dict[str, list[float]]:
    """Return the server's CPU seconds for one message of that size and its echo, each round.

    With `deflate` both are compressed.

    The contenders take turns that last a tenth of a second or so.
    """
    found: dict[str, list[float]] = {name: [] for name in names}
    for order in orders(map(Load, found), launches):
        with contest(order, loop) as entries:
            for load, entry in entries.items():
                if deflate:
                    entry.crowd.call("deflate")
                entry.connect(load.connections)
                entry.crowd.call("echo", size, BURST)
            for _ in range(ECHO_ROUNDS):
                for load, (server, crowd) in entries.items():
                    before = server.cpu()
                    crowd.call("echo", size, BURST)
                    used = server.cpu() - before
                    found[load.name].append(used / (BURST * load.connections))
    return {name: both_orders(seconds, ECHO_ROUNDS) for name, seconds in found.items()}


def orders(loads: Iterable[Load], launches: int) -> Iterator[list[Load]]:
    """Yield the order in which contenders start, each time the last one's reverse.

    Of processes that share a core, the first to begin has an advantage of some percent.
    """
    order = list(loads)
    for _ in range(launches):
        yield order
        order = order[::-1]


def both_orders(seconds: list[float], rounds: int) -> list[float]:
    """Return the means of the rounds of each launch and those of the next, the other order."""
    launches = [seconds[start : start + rounds] for start in range(0, len(seconds), rounds)]
    return [
        mean(pair)
        for forward, reverse in zip(launches[::2], launches[1::2], strict=True)
        for pair in zip(forward, reverse, strict=True)
    ]


class Idle(NamedTuple):
    """What connections cost that carry nothing but Pings and Pongs.

    Attributes:
        memory: Bytes a connection, in the server's process.
        cpu: CPU seconds a cycle, each round.
    """

    memory: float
    cpu: list[float]


def idle(loads: Iterable[Load], loop: str, launches: int) -> dict[Load, Idle]:
    """Measure idle connections; a round takes `ROUND` seconds."""
    memory: dict[Load, list[float]] = {load: [] for load in loads}
    cpu: dict[Load, list[float]] = {load: [] for load in memory}
    for order in orders(memory, launches):
        with contest(order, loop) as entries:
            for load, entry in entries.items():
                entry.connect(CLIENTS)  # what the first ones load is not theirs
                empty = entry.server.memory()
                entry.connect(load.connections)
                time.sleep(SETTLE)
                memory[load].append((entry.server.memory() - empty) / load.connections)
            time.sleep(2 * max(load.interval for load in entries))
            for _ in range(IDLE_ROUNDS):
                before = {load: entry.meter() for load, entry in entries.items()}
                time.sleep(ROUND)
                for load, entry in entries.items():
                    used, cycles = (b - a for a, b in zip(before[load], entry.meter(), strict=True))
                    cpu[load].append(used / max(1, cycles))
    return {
        load: Idle(median(memory[load]), both_orders(seconds, IDLE_ROUNDS))
        for load, seconds in cpu.items()
    }


def wire(connections: int = 100, seconds: float = 5) -> float:
    """Return the bytes a cycle on the wire: of Ethernet, IP and TCP too, and acknowledgements."""
    with contest([Load(MIDDLEWARE, connections, interval=1)], "uvloop") as entries:
        [entry] = entries.values()
        entry.connect(connections)
        time.sleep(SETTLE)
        cycles, sent = entry.crowd.call("count_pings"), bytes_on_loopback()
        time.sleep(seconds)
        cycles, sent = entry.crowd.call("count_pings") - cycles, bytes_on_loopback() - sent
        return float(sent / max(1, cycles))


def bytes_on_loopback() -> int:
    """Return how many bytes went through the loopback interface so far."""
    [line] = [
        line
        for line in Path("/proc/net/dev").read_text().splitlines()
        if line.startswith("    lo:")
    ]
    return int(line.split()[1])
