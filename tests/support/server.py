"""A real server, in a thread of the test's own process, and what the kernel holds for it."""

from __future__ import annotations

import asyncio
import importlib
import logging
import queue
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asgi_keepalive.endpoint import closing, lingering

from .client import Client
from .timeouts import LATE

LOOK = 2 * lingering.FIRST_LOOK
"""Seconds that pass at most, here, until the end of a closing connection is seen."""

LAST_LOOK = 2 * LOOK
"""So many seconds later all ends have been seen, and a test may end its server's event loop."""


class Server(ABC):
    """Serves an application on a free port."""

    def __init__(self, loop: str, address: str) -> None:
        self.records: list[logging.LogRecord] = []
        self.socket = socket.create_server((address, 0))
        self.port: int = self.socket.getsockname()[1]
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop
        if loop == "uvloop":
            self._loop_factory = importlib.import_module("uvloop").new_event_loop

    def _run(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await self.serve()
            await asyncio.sleep(LAST_LOOK)

        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(serve())

    def run(self, function: Callable[[], Any]) -> Any:
        """Run a function in the server's thread, and return its result."""
        assert self.loop is not None
        done: queue.Queue[Any] = queue.Queue()
        self.loop.call_soon_threadsafe(lambda: done.put(function()))
        return done.get(timeout=10)

    def complaints(self) -> list[logging.LogRecord]:
        """Return what has been logged as a warning or an error."""
        return [record for record in self.records if record.levelno >= logging.WARNING]

    def stop(self) -> float:
        """Shut down as SIGTERM would, and return how long that took, in seconds."""
        began = time.monotonic()
        self.exit()
        self.thread.join(timeout=30)
        assert not self.thread.is_alive(), "the server did not exit"
        return time.monotonic() - began

    @abstractmethod
    async def serve(self) -> None:
        """Serve until `exit`."""

    @abstractmethod
    def exit(self) -> None:
        """Begin to shut down."""

    @abstractmethod
    def is_up(self) -> bool:
        """Whether it serves."""

    @abstractmethod
    def connections(self) -> int:
        """Return how many connections it has."""


class _Records(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self.records = records

    def emit(self, record: logging.LogRecord) -> None:
        record.at = time.monotonic()
        self.records.append(record)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Run a server, and stop it whatever happens."""
    handler = _Records(server.records)
    loggers = [
        logging.getLogger(name)
        for name in (
            *("asgi_keepalive", "uvicorn.error", "hypercorn.error", "daphne", "gunicorn.error"),
            "asyncio",
        )
    ]
    for logger in loggers:
        logger.addHandler(handler)
    level = loggers[0].level
    loggers[0].setLevel(logging.DEBUG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closing, "LONGEST_WAIT", LOOK)
        patch.setattr(lingering, "LONGEST_WAIT", LOOK)
        server.thread.start()
        wait_until(server.is_up)
        try:
            yield server
        finally:
            if server.thread.is_alive():
                server.stop()
            server.socket.close()
            for logger in loggers:
                logger.removeHandler(handler)
            loggers[0].setLevel(level)


def wait_until(condition: Callable[[], Any], timeout: float = 10) -> None:
    """Return once the condition holds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class KernelSocket(NamedTuple):
    """What the kernel holds of one connection, on the server's side.

    Attributes:
        state: As /proc/net/tcp writes it.
        unsent: Bytes that the client has not acknowledged; a FIN counts as one.
        orphaned: Whether there is no descriptor for it any more.
    """

    client_port: int
    state: str
    unsent: int
    orphaned: bool


def kernel_sockets(server_port: int, client_port: int) -> list[tuple[str, int]]:
    """Return state and unsent bytes of what the kernel holds on the server's side (Linux).

    It holds it in the network namespace that the thread is in.
    """
    found = all_kernel_sockets(server_port)
    return [(one.state, one.unsent) for one in found if one.client_port == client_port]


def all_kernel_sockets(server_port: int) -> list[KernelSocket]:
    """Return what the kernel holds for all clients together."""
    found = []
    for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote = (int(field.rpartition(":")[2], 16) for field in fields[1:3])
        if local == server_port and fields[3] not in {"06", "0A"}:  # not TIME_WAIT, not LISTEN
            unsent = int(fields[4].partition(":")[0], 16)
            found.append(KernelSocket(remote, fields[3], unsent, orphaned=fields[9] == "0"))
    return found


def logged(server: Server, part: str) -> list[logging.LogRecord]:
    return [record for record in server.records if part in record.getMessage()]


def freed(server: Server, client: Client, within: float) -> None:
    """Wait until neither the server nor the kernel holds anything of a connection."""
    began = time.monotonic()
    wait_until(lambda: not kernel_sockets(server.port, client.port))
    wait_until(lambda: not server.connections())
    assert time.monotonic() - began < within + LATE
