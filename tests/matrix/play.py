"""One server that runs, what its application tells, and clients for it."""

from __future__ import annotations

import os
import queue
import signal
import ssl
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ..support.client import CLOSE, PING, PONG, Client
from ..support.process import Process, started
from ..support.server import kernel_sockets
from .servers import Combination, Row

LATE = 1.0
"""How much later than promised, in seconds, a loaded machine may be."""

EARLY = 0.01
"""By how much, in seconds, clocks may be rounded."""

UNSENT = {False: 4096, True: 100_000}
"""A frozen client leaves more bytes than this in the kernel, by whether the server is by itself."""

SETTLED = 0.1
"""If there are no more of them after so many seconds, what is sent stays in the server."""

Answer = Callable[[bytes], bytes | None]
"""Returns what to answer to a Ping's payload."""


class Certificate(NamedTuple):
    """What clients trust, and the file that servers read."""

    context: ssl.SSLContext
    pem: Path

    @classmethod
    def written_to(cls, directory: Path) -> Certificate:
        authority = trustme.CA()
        context = ssl.create_default_context()
        authority.configure_trust(context)
        issued = authority.issue_cert("localhost")
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        pem = directory / "server.pem"
        pem.write_bytes(
            # granian reads no other format.
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + issued.cert_chain_pems[0].bytes()
        )
        return cls(context, pem)


class Play:
    """A running server.

    Attributes:
        row: What it is.
    """

    def __init__(self, process: Process, row: Row, tls: ssl.SSLContext | None) -> None:
        self.row = row
        self._process = process
        self._tls = tls
        self._told: dict[str, dict[str, Any]] = defaultdict(dict)
        self._news = threading.Condition()
        self._over = False
        self._family: list[int] = []
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    def end(self) -> None:
        """Stop listening to the application, and end the server's processes."""
        self._over = True
        self._listening.join()
        # What a server has started may outlive it.
        for pid in self._family or family(self._process.popen.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.popen.wait()

    # What the application tells.

    def _listen(self) -> None:
        while not self._over:
            with suppress(queue.Empty):
                what = self._process.told(timeout=0.1)
                with self._news:
                    self._told[what.pop("name")].update(what)
                    self._news.notify_all()

    def told(self, name: str, what: str, until: float) -> Any:
        """Return what the application tells of a connection, or `None` if it doesn't by then."""
        with self._news:
            self._news.wait_for(lambda: what in self._told[name], until - time.monotonic())
            return self._told[name].get(what)

    def opened(self, name: str) -> float:
        """Return when the application accepted a connection."""
        opened = self.told(name, "opened", time.monotonic() + 10)
        assert opened is not None, f"{name} did not reach the application: {self._process.output}"
        return float(opened)

    @property
    def supported(self) -> bool | None:
        """Whether the middleware could do its work; `None` if it is not there."""
        with self._news:
            told = [told["supported"] for told in self._told.values() if "supported" in told]
            return all(told) if None not in told else None

    # Clients.

    @contextmanager
    def client(self, name: str, *, reads: bool = True) -> Iterator[Client]:
        """Connect; a client that does not read lets the server fill the kernel's buffers."""
        buffer = None if reads else 4096
        port = self._process.port
        connect: Any = self.row.client
        with connect(port, path=f"/{name}", receive_buffer=buffer, tls=self._tls) as client:
            yield client.open()

    def held(self, client: Client) -> int | None:
        """Return how many unsent bytes the kernel has for a client, or `None` without a socket."""
        found = kernel_sockets(self._process.port, client.port)
        return sum(unsent for _, unsent in found) if found else None

    def fills(self, client: Client) -> bool:
        """Wait until the kernel takes no more for a client that does not read."""
        until = time.monotonic() + 5
        held = 0
        while time.monotonic() < until:
            time.sleep(SETTLED)
            before, held = held, self.held(client) or 0
            if before == held > UNSENT[self.row.own]:
                return True
        return False

    # The server's end.

    def terminate(self, within: float) -> float | None:
        """Send SIGTERM, and return how long it took to exit, or `None` if it doesn't."""
        self._family = family(self._process.popen.pid)
        began = time.monotonic()
        self._process.popen.send_signal(signal.SIGTERM)
        try:
            self._process.popen.wait(within)
        except subprocess.TimeoutExpired:
            return None
        return time.monotonic() - began


@contextmanager
def playing(row: Row, combination: Combination, certificate: Certificate) -> Iterator[Play]:
    """Start a server, and end it whatever happens."""
    command = row.arguments(combination, certificate.pem)
    with started(*command, **row.environment()) as process:
        tls = certificate.context if combination.scheme == "wss" else None
        play = Play(process, row, tls)
        try:
            yield play
        finally:
            play.end()


def family(pid: int) -> list[int]:
    """Return the ids of a process and of all that it has started."""
    pids = [pid]
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pids += [member for child in children for member in family(int(child))]
    return pids


def wait_for(condition: Callable[[], Any], until: float) -> bool:
    """Return whether the condition holds by then."""
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def frames(client: Client, seconds: float, answer: Answer) -> list[tuple[int, bytes]]:
    """Read for a while, and answer Pings; return all frames until the connection ended."""
    found = []
    end = time.monotonic() + seconds
    with suppress(OSError, EOFError):
        while (left := end - time.monotonic()) > 0:
            client.socket.settimeout(left)
            opcode, payload = client.receive()
            found.append((opcode, payload))
            client.socket.settimeout(10)
            pong = answer(payload) if opcode == PING else None
            if pong is not None:
                client.send(PONG, pong)
            if opcode == CLOSE:
                break
    client.socket.settimeout(10)
    return found
