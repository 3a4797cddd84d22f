"""A real reverse proxy in the foreground, as the test's child, configured as the page says."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import ClassVar, Self

from ..support.needs import program
from ..support.process import ROOT
from ..support.server import wait_until
from ..support.tcp import reserved

IDLE_TIMEOUT = 3


def replaced(text: str, old: str, new: str) -> str:
    """Return a text with another part in the place of one that it has exactly once."""
    assert text.count(old) == 1, (old, text)
    return text.replace(old, new)


class Proxy(ABC):
    """A proxy on a free port of 127.0.0.1, running until the end of the block.

    Its configuration is the block of docs/deployment.md below the marker with its name, for other
    ports and with another limit for idle connections.

    Args:
        directory: For its files.
        upstream: The server's port, on 127.0.0.1.
        idle: The limit for idle connections, in seconds.
    """

    PROGRAM: ClassVar[str]
    LISTEN: ClassVar[tuple[str, str]]
    """How the page says where it listens, and how to say it for a port of 127.0.0.1."""

    LIMIT: ClassVar[str | None]
    """How the page sets the limit for idle connections, or None if there is no limit."""

    def __init__(self, directory: Path, upstream: int, idle: int = IDLE_TIMEOUT) -> None:
        executable = program(self.PROGRAM)
        self._directory = directory
        self._upstream = upstream
        self._idle = idle
        self._reserved = reserved()
        self.port: int = self._reserved.getsockname()[1]
        self._command = [executable, *self._arguments()]

    def __enter__(self) -> Self:
        self._configure()
        with (self._directory / "log").open("w") as log:
            self._popen = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "HOME": str(self._directory)},  # caddy keeps files there
            )
        try:
            wait_until(self._is_configured)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self.thaw()
            self._popen.terminate()
            self._popen.wait(timeout=1)
        self.kill()
        self._reserved.close()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def workers(self) -> set[int]:
        """The processes of the proxy other than the master."""
        found = set()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended meanwhile
                state, _, group = stat.read_bytes().rpartition(b")")[2].split()[:3]
                if int(group) == self._popen.pid and state != b"Z":
                    found.add(int(stat.parent.name))
        return found - {self._popen.pid}

    def freeze(self) -> None:
        os.killpg(self._popen.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self._popen.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, whatever state it is in; none of its processes remains."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        wait_until(lambda: not self.workers)

    def _configure(self) -> None:
        # haproxy takes a file whose last line has no end for a truncated one.
        (self._directory / "configuration").write_text(self._configuration() + "\n")

    def _is_configured(self) -> bool:
        """Whether it accepts connections."""
        assert self._popen.poll() is None, (self._directory / "log").read_text()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=10).close()
            return True
        return False

    def _snippet(self, marker: str | None = None) -> str:
        """Return a block of the page, as it stands there."""
        page = (ROOT / "docs" / "deployment.md").read_text()
        marked = f"<!-- {marker or self.PROGRAM} -->\n```"
        [block] = re.findall(rf"{marked}\w+\n(.*?)```", page, re.DOTALL)
        return str(block)

    def _adapted(self, block: str) -> str:
        """Return a block of the page for this proxy's ports and limit."""
        block = replaced(block, "8000", str(self._upstream))
        block = replaced(block, self.LISTEN[0], self.LISTEN[1].format(self.port))
        if self.LIMIT:
            block = replaced(block, self.LIMIT.format(60), self.LIMIT.format(self._idle))
        return block

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Return what makes it run in the foreground, with its configuration."""

    @abstractmethod
    def _configuration(self) -> str:
        """Return its configuration."""


class ReloadableProxy(Proxy):
    """A proxy with workers, which can change its configuration while it runs."""

    RELOAD: ClassVar[signal.Signals]

    _generation = 1

    def reload(self) -> None:
        """Reload gracefully: the old workers keep the open connections, a new one takes over."""
        self._generation += 1
        self._configure()
        signalled_at = -inf

        def has_reloaded() -> bool:
            nonlocal signalled_at
            # More than once, for in its first moments haproxy's master misses it.
            if time.monotonic() > signalled_at + 0.5:
                self._popen.send_signal(self.RELOAD)
                signalled_at = time.monotonic()
            return self._is_configured()

        wait_until(has_reloaded)

    def _is_configured(self) -> bool:
        """Whether a new connection meets the latest configuration.

        It answers GET /generation with the generation of that.
        """
        assert self._popen.poll() is None, (self._directory / "log").read_text()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/generation", headers={"Connection": "close"})
            return int(connection.getresponse().read()) == self._generation
        except (OSError, http.client.HTTPException):
            return False  # it is not up yet
        finally:
            connection.close()
