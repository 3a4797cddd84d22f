"""A network of hosts that a test makes, breaks and removes: namespaces of this machine.

    server 192.0.2.2 -- router -- 198.51.100.2 a client's host, 198.51.100.6 another, ...

The namespaces have no names, so nothing of them outlives the test's process.
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import selectors
import struct
import subprocess
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Self

from ..support.needs import program, unavailable

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


class Namespace:
    """A network namespace; what a thread makes inside `with namespace:` belongs to it.

    That holds for sockets, for the threads and processes it starts, and for what
    /proc/thread-self/net shows.
    """

    def __init__(self) -> None:
        self._outside: list[int] = []
        self._file = _new_namespace()
        self.run("ip", "link", "set", "lo", "up")

    def __enter__(self) -> Self:
        self._outside.append(_open_namespace())
        _system_call("setns", self._file, CLONE_NEWNET)
        return self

    def __exit__(self, *error: object) -> None:
        outside = self._outside.pop()
        _system_call("setns", outside, CLONE_NEWNET)
        os.close(outside)

    @property
    def path(self) -> str:
        """Its name for `ip`."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    def run(self, name: str, *arguments: str) -> None:
        """Run a program in it."""
        with self:
            subprocess.run([program(name), *arguments], check=True)

    def close(self) -> None:
        os.close(self._file)


class Host(Namespace):
    """A host with one link, to the router.

    Args:
        address: Its own; the router has the one before it.
        port: What the router calls its end of the link.
    """

    def __init__(self, address: str, port: str) -> None:
        super().__init__()
        self.address = address
        self.port = port
        subnet, _, last = address.rpartition(".")
        self.gateway = f"{subnet}.{int(last) - 1}"

    def link_down(self) -> None:
        """Unplug it: no packet tells anybody."""
        self.run("ip", "link", "set", "eth0", "down")

    def link_up(self) -> None:
        """Plug it in."""
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "add", "default", "via", self.gateway)


class Network:
    """A server's host, and clients' hosts on the other side of a router."""

    def __init__(self) -> None:
        self.router = Namespace()
        self._namespaces = [self.router]
        self._relays: list[Relay] = []
        self._numbers = itertools.count()
        with self.router:
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        self.server = self._host("192.0.2.2", "server")

    def client(self, *, delay: float = 0) -> Host:
        """Add a host; each packet from it and to it is `delay` seconds on its way."""
        number = next(self._numbers)
        return self._host(f"198.51.100.{4 * number + 2}", f"client{number}", delay)

    def reborn(self, host: Host) -> Host:
        """Put a host in the place of another, which knows nothing of its connections."""
        self.router.run("ip", "link", "delete", host.port)
        return self._host(host.address, host.port)

    def drop(self, *match: str) -> None:
        """Let the router drop the packets that match, in the words of `iptables`."""
        self.router.run("iptables", "--append", "FORWARD", *match, "--jump", "DROP")

    def slow_down(self, host: Host, rate: str, limit: str = "64kb") -> None:
        """Let a host's link carry no more, in the words of `tc`; `limit` is what it buffers."""
        shape = ["root", "tbf", "rate", rate, "burst", "16kb", "limit", limit]
        self.router.run("tc", "qdisc", "add", "dev", host.port, *shape)
        host.run("tc", "qdisc", "add", "dev", "eth0", *shape)

    def close(self) -> None:
        for relay in self._relays:
            relay.close()
        for namespace in self._namespaces:
            namespace.close()

    def _host(self, address: str, port: str, delay: float = 0) -> Host:
        host = Host(address, port)
        self._namespaces.append(host)
        if delay:
            self._relays.append(Relay(host, self.router, port, delay))
        else:
            peer = ["peer", "name", "eth0", "netns", host.path]
            self.router.run("ip", "link", "add", port, "type", "veth", *peer)
        self.router.run("ip", "address", "add", f"{host.gateway}/30", "dev", port)
        self.router.run("ip", "link", "set", port, "up")
        host.run("ip", "address", "add", f"{address}/30", "dev", "eth0")
        host.link_up()
        return host


class Relay:
    """A link that is `delay` seconds long.

    Not every kernel has netem, so the packets are taken from a tap device at one end, kept for
    a while, and given to a tap device at the other.
    """

    def __init__(self, host: Host, router: Namespace, port: str, delay: float) -> None:
        self._delay = delay
        self._ends = [_tap(host, "eth0"), _tap(router, port)]
        self._underway: deque[tuple[float, int, bytes]] = deque()
        self._stop, stop = os.pipe()
        self._stopping = stop
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.close(self._stopping)
        self._thread.join()
        for file in (self._stop, *self._ends):
            os.close(file)

    def _run(self) -> None:
        one, other = self._ends
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop, selectors.EVENT_READ)
            selector.register(one, selectors.EVENT_READ, other)
            selector.register(other, selectors.EVENT_READ, one)
            while True:
                for key, _ in selector.select(self._deliver()):
                    if key.fd == self._stop:
                        return
                    packet = os.read(key.fd, 65536)
                    self._underway.append((time.monotonic() + self._delay, key.data, packet))

    def _deliver(self) -> float | None:
        """Write what has arrived; return the seconds until more will have."""
        while self._underway:
            due, end, packet = self._underway[0]
            left = due - time.monotonic()
            if left > 0:
                return left
            self._underway.popleft()
            with suppress(OSError):  # the device is not up, or not yet: the packet is lost
                os.write(end, packet)
        return None


def _tap(namespace: Namespace, name: str) -> int:
    with namespace:
        try:
            file = os.open("/dev/net/tun", os.O_RDWR)
        except OSError as error:
            unavailable(f"/dev/net/tun cannot be opened: {error.strerror}")
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return file


def _new_namespace() -> int:
    """Make one, in a thread of its own, which it would otherwise be taken from."""

    def make() -> int:
        try:
            _system_call("unshare", CLONE_NEWNET)
        except PermissionError:
            unavailable("network namespaces may not be made")
        return _open_namespace()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()


def _open_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _system_call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
