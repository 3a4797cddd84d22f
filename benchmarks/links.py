"""What is in front of a Ping: its round trip under a stream over slow links, and what streams cost.

Everything is measured twice: with the bounds of the middleware, and without them.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
import trustme

from tests.faults.network import Host, Network

from .measure import cpu_of
from .reading import BOUNDED, Drain, Reader, Server

Unavailable: type[BaseException] = pytest.skip.Exception
"""Is raised where networks may not be made."""

RATES = 1, 2, 8, 50
"""Of the links, in Mbit/s."""

SETTLE, STREAM = 3.0, 15.0
"""Seconds of a stream until Pings are measured, and for which they are."""

DELAY, FAST = 0.1, 80
"""Seconds there and back on the long path, and its rate in Mbit/s."""

ROUNDS, ROUND = 4, 2.0
"""On the long path, of each contender, and the seconds of each, once half of that have passed."""

BULK = 0.5
"""Seconds of a round over loopback."""


class Link(NamedTuple):
    """A slow link.

    Attributes:
        rate: In Mbit/s.
        secure: Whether what streams over it is wss.
    """

    rate: int
    secure: bool

    def __str__(self) -> str:
        return f"{self.rate} Mbit/s{', wss' if self.secure else ''}"

    def add(self, network: Network) -> Host:
        """Add a host at the end of such a link."""
        return shaped(network, network.client(), self.rate, queue=48)


def shaped(network: Network, host: Host, rate: int, queue: int) -> Host:
    """Let the router send so many Mbit/s to a host, and queue so many kB for it."""
    shape = ["rate", f"{rate}mbit", "burst", "32k", "limit", f"{queue}k"]
    network.router.run("tc", "qdisc", "add", "dev", host.port, "root", "tbf", *shape)
    return host


LINKS = [*(Link(rate, secure=False) for rate in RATES), Link(2, secure=True)]


def slow(loop: str) -> dict[Link, dict[str, float]]:
    """Return the median round trip of a Ping under a stream, in seconds, by link and contender.

    All links carry their streams at the same time, each its own.
    """
    with ExitStack() as stack:
        network = stack.enter_context(closing(Network()))
        certificate, tls = stack.enter_context(_certificate())
        servers: dict[tuple[str, bool], Server] = {}
        for name, bounded in BOUNDED.items():
            for secure in False, True:
                file = certificate if secure else None
                with network.server as host:
                    server = Server(loop, host.address, bounded, file)
                servers[name, secure] = stack.enter_context(server)
        for link in LINKS:
            for name in BOUNDED:
                with link.add(network):
                    server, trust = servers[name, link.secure], tls if link.secure else None
                    stack.enter_context(closing(Reader(server, str(link.rate), tls=trust)))
        time.sleep(SETTLE)
        for server in servers.values():
            server.report()
        time.sleep(STREAM)
        found = {key: server.report()[0] for key, server in servers.items()}
        return {
            link: {name: median(found[name, link.secure][str(link.rate)]) for name in BOUNDED}
            for link in LINKS
        }


@contextmanager
def _certificate() -> Iterator[tuple[str, ssl.SSLContext]]:
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "server.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
        yield str(path), context


def delayed(loop: str) -> dict[str, list[float]]:
    """Return the seconds for a megabyte over the long path, each round."""
    found: dict[str, list[float]] = {name: [] for name in BOUNDED}
    with ExitStack() as stack:
        network = stack.enter_context(closing(Network()))
        with network.server as host:
            servers = {
                name: stack.enter_context(Server(loop, host.address, bounded))
                for name, bounded in BOUNDED.items()
            }
        client = shaped(network, network.client(delay=DELAY / 2), FAST, queue=1000)
        for name, server in [*servers.items()] * ROUNDS:
            with client:
                reader = stack.enter_context(closing(Reader(server, "long")))
            time.sleep(ROUND / 2)
            before = reader.received
            time.sleep(ROUND)
            found[name].append(ROUND / ((reader.received - before) / 1e6))
            reader.close()
    return found


def bulk(loop: str, size: int, rounds: int) -> dict[str, list[float]]:
    """Return the server's CPU seconds for a megabyte over loopback, each round."""
    found: dict[str, list[float]] = {name: [] for name in BOUNDED}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(Server(loop, "127.0.0.1", bounded))
            for name, bounded in BOUNDED.items()
        }
        for name, server in [*servers.items()] * rounds:
            before = cpu_of(server.pid)
            with closing(Drain(server, "bulk", size)) as reader:
                time.sleep(BULK)
            found[name].append((cpu_of(server.pid) - before) / (reader.received / 1e6))
    return found
