"""Servers that are stopped, restarted and killed while their peers do not answer."""

from __future__ import annotations

import os
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..conftest import LOOPS, PROTOCOLS
from ..support.client import CLOSE, PING, Client, close_code, cut_off
from ..support.process import Process, started, uvicorn
from ..support.server import kernel_sockets, wait_until

SLOW = {"PING_INTERVAL": "20", "PING_TIMEOUT": "20"}
"""Settings with which no keepalive helps: only what is done at the end counts."""


@contextmanager
def connected(process: Process, path: str, **options: Any) -> Iterator[tuple[Client, int]]:
    """Connect a client, and return the process that serves it, too."""
    with Client(process.port, path=path, **options).open() as client:
        while "pid" not in (told := process.told()):
            pass  # what others tell of their end
        assert told["supported"] is True
        yield client, told["pid"]


@contextmanager
def dead_peers(process: Process, **options: Any) -> Iterator[list[Client]]:
    """Connect a frozen client and one that is off the network, with data on its way to both."""
    with (
        connected(process, "/stream", receive_buffer=4096, **options) as (frozen, _),
        connected(process, "/stream", **options) as (vanished, _),
    ):
        cut_off(vanished.socket)
        for client in frozen, vanished:
            wait_until(lambda client=client: unsent(process, client) > 10_000)  # type: ignore[misc]
        yield [frozen, vanished]


def unsent(process: Process, client: Client) -> int:
    """Return the bytes that the kernel holds for a client."""
    return sum(size for _, size in kernel_sockets(process.port, client.port))


def gone(process: Process, clients: list[Client]) -> None:
    """Wait until the kernel holds nothing for them."""
    wait_until(lambda: not any(kernel_sockets(process.port, client.port) for client in clients))


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ws", PROTOCOLS)
def test_stop(
    ws: str, loop: str, sig: signal.Signals, tls: ssl.SSLContext, tls_config: dict[str, str]
) -> None:
    flags = uvicorn("--ws", ws, "--loop", loop, "--ssl-certfile", tls_config["ssl_certfile"])
    with started(*flags, **SLOW) as process, dead_peers(process, tls=tls) as clients:
        assert process.terminate(sig) < 0.5 + 1 + 1  # the interpreter has to exit, too
        gone(process, clients)
        assert "Traceback" not in process.output
        assert "ERROR" not in process.output


def test_time_that_the_server_gives_itself() -> None:
    flags = uvicorn("--timeout-graceful-shutdown", "1")
    with started(*flags, **SLOW, CLOSE_TIMEOUT="20") as process, dead_peers(process):
        assert process.terminate() < 1 + 1 + 1
        assert "Traceback" not in process.output


def test_reload(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.touch()
    flags = uvicorn("--reload", "--reload-dir", str(tmp_path))
    with started(*flags, **SLOW) as process:
        pids: set[int] = set()
        for change in 1, 2:
            with dead_peers(process) as clients, connected(process, "/receive") as (idle, pid):
                pids.add(pid)
                os.utime(source, (0, time.time() + change))
                assert close_code(idle.expect(CLOSE))[0] == 1012
                gone(process, clients)
        with connected(process, "/receive") as (_, pid):
            pids.add(pid)
        assert len(pids) == 3
        assert "Traceback" not in process.output


def test_worker_that_is_killed() -> None:
    with started(*uvicorn("--workers", "2")) as process:
        with connected(process, "/receive") as (_, pid):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: f"Child process [{pid}] died" in process.output)
        pids: set[int] = set()
        while len(pids) < 2:
            with connected(process, "/receive") as (client, pid):
                pids.add(pid)
                client.expect(PING)
                assert close_code(client.expect(CLOSE))[0] == 1011
        assert "Traceback" not in process.output


def test_workers_that_are_replaced() -> None:
    with started(*uvicorn("--workers", "2"), **SLOW) as process:
        with dead_peers(process) as clients, connected(process, "/receive") as (idle, pid):
            process.popen.send_signal(signal.SIGHUP)
            assert close_code(idle.expect(CLOSE))[0] == 1012
            gone(process, clients)
        with connected(process, "/receive") as (_, successor):
            assert successor != pid
        assert "Traceback" not in process.output
