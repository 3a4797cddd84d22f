"""A server that is started by its command."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

START, EXIT = 30.0, 20.0
"""Seconds that a server may take to start, and to exit."""


class CannotRun(Exception):
    """The command cannot be run as it was given."""


class Process:
    """A server in a process of its own.

    Attributes:
        port: Where it listens, on 127.0.0.1.
    """

    def __init__(self, command: str, **places: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.command = filled(command, **places, port=str(self.port))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        try:
            self._process = subprocess.Popen(
                shlex.split(self.command),
                env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:  # ValueError: a quotation has no end
            raise CannotRun(f"{self.command}: {exc}") from exc
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            self._lines.extend(line.decode(errors="replace") for line in output)

    def wait_until_up(self) -> None:
        """Wait until it listens."""
        end = time.monotonic() + START
        while not self._listens():
            if (status := self._process.poll()) is not None:
                self._reader.join(EXIT)
                raise CannotRun(f"{self.command}: its exit status is {status}\n{self.log()}")
            if time.monotonic() > end:
                why = f"it does not listen on 127.0.0.1:{self.port}"
                raise CannotRun(f"{self.command}: {why}\n{self.log()}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        return False

    def shut_down(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def join(self) -> None:
        """Wait until it has exited; kill whatever is left of it."""
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(EXIT)
        finally:  # a second Ctrl-C does not wait
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(EXIT)

    def log(self) -> str:
        """Return what it has written."""
        return "".join(self._lines)


@contextmanager
def started(command: str, **places: str) -> Iterator[Process]:
    """Start a server, and let nothing be left of it."""
    process = Process(command, **places)
    try:
        process.wait_until_up()
        yield process
    finally:
        process.shut_down()
        process.join()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let more signals end this context as Ctrl-C does, so that no server is left behind."""
    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL  # nohup ignores one
    ]
    for number in numbers:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def filled(text: str, **places: str) -> str:
    """Put values in the place of their names in braces."""
    for name, value in places.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@contextmanager
def certificate() -> Iterator[tuple[str, str]]:
    """Yield the files of a new certificate and of its key."""
    with TemporaryDirectory() as directory:
        cert, key = Path(directory, "cert.pem"), Path(directory, "key.pem")
        command = (
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
            f"-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -out {cert} -keyout {key}"
        )
        try:
            subprocess.run(shlex.split(command), check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as exc:
            raise CannotRun("openssl makes no certificate: give --cert and --key") from exc
        yield str(cert), str(key)


def trusting() -> ssl.SSLContext:
    """Return what lets a peer take any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
