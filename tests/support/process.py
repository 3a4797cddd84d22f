"""A server that runs as a process of its own, as its users start it."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .server import wait_until
from .tcp import reserved

ROOT = Path(__file__).parents[2]


UP = re.compile(
    "ASGI server listening|Application startup complete|Running on http.*CTRL . C|Listening on TCP"
)
"""What each worker of a server writes once it serves."""


class Process:
    """A running server.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        errors: What it has written to stderr, by line.
        readers: The threads that read what it writes.
    """

    def __init__(self, *command: str, **environment: str) -> None:
        self._reserved = reserved()
        self.port: int = self._reserved.getsockname()[1]
        self.errors: list[str] = []
        self._told: queue.Queue[Any] = queue.Queue()
        self.popen = subprocess.Popen(
            [part.replace("PORT", str(self.port)) for part in command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.readers = [
            threading.Thread(target=read, args=(pipe,), daemon=True)
            for pipe, read in [
                (self.popen.stdout, self._read_told),
                (self.popen.stderr, self._read),
            ]
        ]
        for reader in self.readers:
            reader.start()

    def _read_told(self, pipe: IO[str]) -> None:
        for line in pipe:
            if line.startswith("{"):
                self._told.put(json.loads(line))
            else:
                self.errors.append(line)

    def _read(self, pipe: IO[str]) -> None:
        self.errors.extend(pipe)

    def told(self, timeout: float = 20) -> Any:
        """Return what the application tells next."""
        return self._told.get(timeout=timeout)

    @property
    def output(self) -> str:
        """What the server has written, but for what the application told, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", "".join(self.errors))

    def wait_until_up(self) -> None:
        end = time.monotonic() + 30
        while True:
            assert self.popen.poll() is None, self.output
            assert time.monotonic() < end, self.output
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.05)
            else:
                return

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many workers serve: one that is booting loses a SIGTERM."""
        wait_until(lambda: len(UP.findall(self.output)) >= count, timeout=30)

    def close(self) -> None:
        """Let go of what belongs to a process that has ended."""
        for part in self.popen.stdout, self.popen.stderr, self._reserved:
            assert part is not None
            part.close()

    def terminate(self, sig: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal, and return how long the process took to exit, in seconds."""
        began = time.monotonic()
        self.popen.send_signal(sig)
        self.popen.wait(timeout=30)
        return time.monotonic() - began


@contextmanager
def started(*command: str, **environment: str) -> Iterator[Process]:
    """Run a server until the end of the block; PORT in its command is a free port."""
    with running(*command, **environment) as process:
        process.wait_until_up()
        yield process


@contextmanager
def running(*command: str, **environment: str) -> Iterator[Process]:
    """Run a process until the end of the block."""
    process = Process(*command, **environment)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.terminate()
        for reader in process.readers:
            reader.join(timeout=10)  # until the last of its processes has gone
        process.close()


def uvicorn(*flags: str, app: str = "tests.support.app:app") -> list[str]:
    return [sys.executable, "-m", "uvicorn", app, "--port", "PORT", *flags]


@contextmanager
def stopped(process: Process) -> Iterator[None]:
    """Stop a process for the length of the block."""
    process.popen.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.popen.send_signal(signal.SIGCONT)
