"""Real reverse proxies, each in the foreground as the test's child, with an idle timeout of 3 s."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import ClassVar, Self

from ..support.needs import program
from ..support.server import wait_until
from ..support.tcp import reserved

IDLE_TIMEOUT = 3


class Proxy(ABC):
    """A proxy on a free port of 127.0.0.1, running until the end of the block.

    Args:
        directory: For its files.
        upstream: The server's port, on 127.0.0.1.
    """

    PROGRAM: ClassVar[str]
    RELOAD: ClassVar[signal.Signals]

    def __init__(self, directory: Path, upstream: int) -> None:
        self._directory = directory
        self._upstream = upstream
        self._generation = 1
        self._command = [program(self.PROGRAM), *self._arguments()]
        self._reserved = reserved()
        self.port: int = self._reserved.getsockname()[1]

    def __enter__(self) -> Self:
        self._configure()
        with (self._directory / "log").open("w") as log:
            self._popen = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True
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
        """Whether a new connection meets the latest configuration."""
        assert self._popen.poll() is None, (self._directory / "log").read_text()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/generation", headers={"Connection": "close"})
            return int(connection.getresponse().read()) == self._generation
        except (OSError, http.client.HTTPException):
            return False  # it is not up yet
        finally:
            connection.close()

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Return what makes it run in the foreground, with workers and its configuration."""

    @abstractmethod
    def _configuration(self) -> str:
        """Return its configuration; GET /generation is answered with the generation of that."""


class Nginx(Proxy):
    PROGRAM = "nginx"
    RELOAD = signal.SIGHUP

    def _arguments(self) -> list[str]:
        # Before it has read the configuration, it would log to where only root may.
        return ["-p", str(self._directory), "-c", "configuration", "-e", "stderr"]

    def _configuration(self) -> str:
        # Started by root, the workers would be somebody else, to whom the directory is closed.
        user = "user root;" if os.geteuid() == 0 else ""
        kinds = "client_body", "proxy", "fastcgi", "uwsgi", "scgi"
        directories = " ".join(f"{kind}_temp_path {kind};" for kind in kinds)
        return f"""
            daemon off;
            worker_processes 1;
            pid pid;
            error_log stderr;
            {user}
            events {{ }}
            http {{
                access_log off;
                {directories}
                server {{
                    listen 127.0.0.1:{self.port};
                    location = /generation {{ return 200 {self._generation}; }}
                    location / {{
                        proxy_pass http://127.0.0.1:{self._upstream};
                        proxy_http_version 1.1;
                        proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection upgrade;
                        proxy_read_timeout {IDLE_TIMEOUT}s;
                    }}
                }}
            }}
        """


class Haproxy(Proxy):
    PROGRAM = "haproxy"
    RELOAD = signal.SIGUSR2

    def _arguments(self) -> list[str]:
        return ["-W", "-f", str(self._directory / "configuration")]

    def _configuration(self) -> str:
        return f"""
            global
                maxconn 100
                nbthread 1
            defaults
                mode http
                timeout connect {IDLE_TIMEOUT}s
                timeout client {IDLE_TIMEOUT}s
                timeout server {IDLE_TIMEOUT}s
                timeout tunnel {IDLE_TIMEOUT}s
            frontend clients
                bind 127.0.0.1:{self.port}
                acl asked path /generation
                http-request return content-type text/plain string {self._generation} if asked
                default_backend servers
            backend servers
                server one 127.0.0.1:{self._upstream}
        """
