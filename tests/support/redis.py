"""A Redis of its own for a test, which it can stop, kill and start again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from .needs import program
from .server import wait_until


class RedisServer:
    """A running `redis-server`. It listens on a Unix socket, so that nobody can take its port.

    Attributes:
        folder: It has its socket and its log.
        url: Its URL.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._program = program("redis-server")
        self.url = f"unix://{folder}/socket"
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        settings = {
            **{"port": "0", "unixsocket": f"{self.folder}/socket", "save": ""},
            **{"dir": str(self.folder), "logfile": f"{self.folder}/log"},
        }
        flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self._popen = subprocess.Popen([self._program, *flags])
        wait_until(self._is_up)

    def _is_up(self) -> Any:
        with socket.socket(socket.AF_UNIX) as sock:
            return not sock.connect_ex(f"{self.folder}/socket") and self.ask("PING")

    def kill(self) -> None:
        """Kill it, if it runs."""
        self._popen.kill()
        self._popen.wait()

    def ask(self, *command: Any) -> Any:
        """Return its reply to a command."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            return client.execute_command(*command)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop it for the length of the block: what comes meanwhile waits."""
        self._popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._popen.send_signal(signal.SIGCONT)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis until the end of the block."""
    folder = tempfile.mkdtemp()  # shorter than pytest's, as the path of a socket may not be long
    server = RedisServer(Path(folder))
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)
