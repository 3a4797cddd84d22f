"""Servers that exit, with a drain, while their clients are busy, frozen or slow to answer."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from ..support.client import CLOSE, PING, PONG, TEXT, close_code, frame, parse, upgrade
from ..support.process import Process, started
from ..support.server import all_kernel_sockets, wait_until
from ..support.timeouts import LATE

RESTART = (1012, "service restart")
WINDOW = 1.5
CLOSE_TIMEOUT = 0.8
SETTINGS = {"DRAIN_WINDOW": str(WINDOW), "CLOSE_TIMEOUT": str(CLOSE_TIMEOUT)}
COUNT = 15
"""Clients that answer; some more are frozen."""

APP = "tests.faults.drain_app:app"
GUNICORN = ["gunicorn", APP, "--bind", "127.0.0.1:PORT", "--graceful-timeout", "6"]
HYPERCORN = ["hypercorn", APP, "--bind", "127.0.0.1:PORT", "--graceful-timeout", "6"]

COMMANDS = {
    "uvicorn": ["uvicorn", APP, "--port", "PORT"],
    "uvicorn-workers": ["uvicorn", APP, "--port", "PORT", "--workers", "2"],
    "gunicorn": [*GUNICORN, "-k", "asgi", "-w", "2"],
    "gunicorn-uvicorn": [*GUNICORN, "-k", "uvicorn_worker.UvicornWorker", "-w", "2"],
    "hypercorn": HYPERCORN,
    "hypercorn-workers": [*HYPERCORN, "--workers", "2"],
    "daphne": ["daphne", APP, "--port", "PORT"],
}


@dataclass
class Peer:
    """A client.

    Attributes:
        kind: What it does: "echo" at 50 messages a second, "stream" only reads, "late" and "never"
            do not answer the Close frame at once, "frozen" reads nothing.
        closes: The Close frames that came.
        closed_at: When the first of them did, in monotonic seconds.
        received: How many messages came before.
        end: How TCP ended.
    """

    number: int
    kind: str
    closes: list[tuple[int, str]] = field(default_factory=list)
    closed_at: float = 0.0
    received: int = 0
    end: str = ""

    async def connect(self, port: int) -> None:
        path = "/stream" if self.kind in {"stream", "frozen"} else "/echo"
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
        self.writer.write(upgrade(f"{path}?{self.number}"))
        await self.reader.readuntil(b"\r\n\r\n")

    async def live(self) -> None:
        if self.kind == "frozen":
            self.writer.transport.pause_reading()  # type: ignore[attr-defined]
            return
        self._talking = asyncio.create_task(self._talk())
        buffer = b""
        try:
            while data := await self.reader.read(65536):
                buffer += data
                while found := parse(buffer):
                    opcode, payload, buffer = found
                    await self._take(opcode, payload)
            self.end = "FIN"
        except OSError as error:
            self.end = repr(error)
        finally:
            self._talking.cancel()
            await self.close()

    async def close(self) -> None:
        self.writer.transport.abort()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def _talk(self) -> None:
        with suppress(OSError):
            while self.kind == "echo":
                self.writer.write(frame(TEXT, b"hello"))
                await asyncio.sleep(0.02)

    async def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.writer.write(frame(PONG, payload))
        elif opcode == TEXT:
            assert not self.closes
            if self.kind == "stream":
                assert int(payload.split()[0]) == self.received
            self.received += 1
        else:
            assert opcode == CLOSE
            self.closes.append(close_code(payload))
            self.closed_at = self.closed_at or time.monotonic()
            self._talking.cancel()
            if self.kind == "late":
                await asyncio.sleep(CLOSE_TIMEOUT / 4)
            if self.kind != "never":
                self.writer.write(frame(CLOSE, payload))


async def play(process: Process, began: list[float]) -> list[Peer]:
    """Connect all, let them live for a moment, and until the server has exited."""
    kinds = ["echo", "stream", "echo", "late", "never"]
    peers = [Peer(number, kinds[number % len(kinds)]) for number in range(COUNT)]
    peers += [Peer(COUNT + number, "frozen") for number in range(3)]
    await asyncio.gather(*[peer.connect(process.port) for peer in peers])
    for _ in peers:
        await asyncio.to_thread(process.told)
    living = [asyncio.create_task(peer.live()) for peer in peers]
    await asyncio.sleep(0.5)
    began.append(time.monotonic())
    process.popen.send_signal(signal.SIGTERM)
    await asyncio.gather(*living)
    await asyncio.to_thread(process.popen.wait, 20)
    began.append(time.monotonic())
    wait_until(lambda: not [one for one in all_kernel_sockets(process.port) if one.unsent > 1])
    await asyncio.gather(*[peer.close() for peer in peers])
    return peers


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_under_load(command: list[str]) -> None:
    """Each client reads all that was sent to it and one Close frame; frozen ones hold nobody up."""
    times: list[float] = []
    with started(sys.executable, "-m", *command, **SETTINGS) as process:
        process.wait_for_workers(2 if "2" in command else 1)
        peers = asyncio.run(play(process, times))
        told = {one["number"]: one for one in (process.told() for _ in peers)}
    began, exited = times
    assert exited - began < WINDOW + CLOSE_TIMEOUT + LATE + 1  # gunicorn looks once a second
    assert {one["code"] for one in told.values()} == {1012}
    answering = [peer for peer in peers if peer.kind != "frozen"]
    for peer in answering:
        assert (peer.closes, peer.end) == ([RESTART], "FIN"), peer
        assert peer.received == told[str(peer.number)]["sent"], peer
    ends = sorted(peer.closed_at - began for peer in answering)
    assert ends[-1] - ends[0] > WINDOW / 2
    assert "Traceback" not in process.output
    assert "ERROR" not in process.output


@pytest.mark.parametrize("second", [signal.SIGTERM, None], ids=["twice", "in a drain"])
def test_told_again(second: signal.Signals | None) -> None:
    """A drain goes on, whatever the server is told meanwhile; at the exit it becomes no slower."""

    async def drained() -> None:
        first = second or ask
        clients = [Peer(number, "echo") for number in range(6)]
        await asyncio.gather(*[client.connect(process.port) for client in clients])
        living = [asyncio.create_task(client.live()) for client in clients]
        began = time.monotonic()
        if callable(first):
            asking = asyncio.create_task(first())
            await asyncio.sleep(0.3)
            process.popen.send_signal(signal.SIGTERM)
            await asking
        else:
            process.popen.send_signal(first)
            await asyncio.sleep(0.3)
            process.popen.send_signal(first)
        await asyncio.gather(*living)
        ends.extend(client.closed_at - began for client in clients)
        assert [client.closes for client in clients] == [[RESTART]] * len(clients)

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b" 204 " in await reader.read()
        writer.close()

    ends: list[float] = []
    command = COMMANDS["uvicorn"]
    with started(sys.executable, "-m", *command, **SETTINGS) as process:
        asyncio.run(drained())
        process.popen.wait(timeout=20)
        assert WINDOW / 2 < max(ends) < WINDOW + LATE
        assert "Traceback" not in process.output
