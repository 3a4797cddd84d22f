"""Hostile clients: whatever bytes come, the middleware changes nothing but what it is there for.

The oracle is the same uvicorn without the middleware. It gets the same bytes in the same segments;
then its application must have been told the same, its client sent the same frames, and the same be
in its log. Only of a peer that falls silent it knows nothing: that one's application is told 1011.

`FUZZ_SEED=4711 python -m pytest tests/faults/test_hostile.py` sends the same mutated bytes as the
run that named this seed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from asgi_keepalive.servers.kernel import reset_on_close

from ..client import CLOSE, PING, PONG, TEXT, Client, frame
from ..conftest import Serve
from ..server import Server, kernel_sockets, running, wait_until
from ..serving import serving
from ..test_promises import FAILED, INTERVAL, accept
from .frames import RIGHT_PONG, mutated, segmented, streams, valid_stream

SEED = os.environ.get("FUZZ_SEED") or str(random.SystemRandom().getrandbits(32))
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

STREAMS = 40
"""How many streams of mutated bytes each server gets."""

UPSTREAM = (
    "Invalid UTF-8 sequence",
    "Fatal error: protocol.data_received() call failed",
    "Fatal error on transport",
)
"""What uvicorn and the event loops themselves log about some streams, as errors."""

MODES = ["receive", "echo", "close", "receive-deflate", "echo-deflate", "close-deflate"]
"""What the application does with a message, and which extension the client offers."""


def examples(number: int, *, shrink: bool = True) -> hypothesis_settings:
    return hypothesis_settings(
        max_examples=number,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


class Witness:
    """The application: it notes what it is told, by path; the path says what else it does."""

    def __init__(self) -> None:
        self.told: dict[str, list[Any]] = {}
        self.over: dict[str, asyncio.Event] = {}
        self.returned: set[str] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        told = self.told[path] = []
        over = self.over[path] = asyncio.Event()
        await accept(receive, send)
        while not ended(told):
            told.append(await receive())
            if told[-1]["type"] == "websocket.receive":
                await self.react(path, told, send)
        await over.wait()
        # Plain uvicorn tells of the application's close, too, even if the peer's error came first.
        if "close" not in path:
            with suppress(TimeoutError):
                for _ in range(2):
                    async with asyncio.timeout(0):  # only what is there already
                        told.append(await receive())
        self.returned.add(path)

    async def react(self, path: str, told: list[Any], send: Any) -> None:
        # Plain uvicorn takes a `send` behind a protocol error of the peer for a fault of the
        # application.
        with suppress(OSError, RuntimeError):
            if "echo" in path:
                await send({**told[-1], "type": "websocket.send"})
            elif "close" in path and len(told) == 1:
                await send({"type": "websocket.close", "code": 4000})


@dataclass
class Outcome:
    """What came of a stream: to the application, to a client that read to the end, to the log."""

    told: list[Any]
    frames: list[tuple[int, bytes]] | None
    logged: list[str]


class Stage:
    """A server, and the witness it serves."""

    def __init__(self, server: Server, witness: Witness) -> None:
        self.server = server
        self.witness = witness
        self._paths = count()
        self._records = 0

    def connect(self, mode: str) -> tuple[Client, str]:
        """Connect; return the path, too, by which the witness knows the connection."""
        path = f"/{mode}/{next(self._paths)}"
        headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if "deflate" in mode else ""
        return Client(self.server.port, path=path, headers=headers).open(), path

    def play(self, mode: str, segments: list[bytes], end: str) -> tuple[Outcome, list[bytes]]:
        """Send a stream over a new connection; return what came of it, and what was sent."""
        client, path = self.connect(mode)
        with client:
            frames, sent = self.send(client, segments)
            if end == "FIN":
                with suppress(OSError):
                    client.socket.shutdown(socket.SHUT_WR)
                frames += client.until_end()
            else:
                reset_on_close(client.socket)
        told = self.end(client, path)
        seen = [one for one in frames if one[0] != PING] if end == "FIN" else None
        return Outcome(told, seen, self.logged()), sent

    def send(
        self, client: Client, segments: list[bytes]
    ) -> tuple[list[tuple[int, bytes]], list[bytes]]:
        """Send a stream; return the frames that were read meanwhile, and what was sent."""
        frames = []
        sent = []
        with suppress(OSError, EOFError):  # the server has closed the connection
            for segment in segments:
                if segment == RIGHT_PONG:
                    while (found := client.receive())[0] != PING:
                        frames.append(found)
                    segment = frame(PONG, found[1])
                sent.append(segment)
                client.socket.sendall(segment)
                self.settle()
        return frames, sent

    def settle(self) -> None:
        """Let the server handle what has been sent: a few turns of its event loop are enough."""
        for _ in range(20):
            self.server.run(lambda: None)

    def end(self, client: Client, path: str) -> list[Any]:
        """Wait until nothing is left of a connection; return what its application was told."""
        wait_until(lambda: not kernel_sockets(self.server.port, client.port))
        wait_until(lambda: not self.server.connections())
        self.server.run(self.witness.over[path].set)
        wait_until(lambda: path in self.witness.returned)
        return self.witness.told.pop(path)

    def logged(self) -> list[str]:
        """Return what has been logged as wrong since the last time."""
        records = self.server.records[self._records :]
        self._records += len(records)
        return [
            f"{record.getMessage().splitlines()[0]} {record.exc_info and record.exc_info[1]!r}"
            for record in records
            if record.levelno >= logging.WARNING and record.thread == self.server.thread.ident
        ]

    def check(self) -> None:
        """A well-behaved client is served, and no task is left of the others."""
        client, path = self.connect("echo")
        with client:
            client.socket.sendall(frame(TEXT, b"alive"))
            assert client.answer_until(TEXT) == b"alive"
            client.socket.sendall(frame(CLOSE, b"\x03\xe8"))
            client.until_end()
        told = self.end(client, path)
        assert [event.get("code") for event in told[:2]] == [None, 1000]
        wait_until(lambda: self.server.run(self._tasks) == 1)  # uvicorn's own

    def _tasks(self) -> int:
        return len(asyncio.all_tasks(self.server.loop))


@pytest.fixture
def bare(ws: str, loop: str) -> Iterator[Stage]:
    """The server without the middleware."""
    witness = Witness()
    with running(serving(witness, ws=ws, loop=loop, ws_ping_interval=None)) as server:
        yield Stage(server, witness)


@pytest.fixture
def wrapped(serve: Serve) -> Stage:
    """The server with it: Pings go out in any state of a connection, but it is never failed."""
    witness = Witness()
    return Stage(serve(witness, ping_interval=0.01, ping_timeout=20, expect=UPSTREAM), witness)


def compare(bare: Stage, wrapped: Stage, mode: str, segments: list[bytes], end: str) -> None:
    outcome, sent = wrapped.play(mode, segments, end)
    expected, _ = bare.play(mode, sent, end)
    assert outcome == expected, f"{mode}, {end}, after {[one.hex() for one in sent]}"


class TestTransparent:
    """P7: each connection ends as it would without the middleware."""

    def test_frames(self, bare: Stage, wrapped: Stage) -> None:
        @examples(40)
        @given(st.sampled_from(MODES), streams(), st.sampled_from(["FIN", "RST"]))
        def run(mode: str, segments: list[bytes], end: str) -> None:
            compare(bare, wrapped, mode, segments, end)

        run()
        wrapped.check()

    def test_mutated_bytes(self, bare: Stage, wrapped: Stage) -> None:
        print(f"FUZZ_SEED={SEED}")
        for number in range(STREAMS):
            chance = random.Random(f"{SEED} {number}")
            segments = list(segmented(mutated(valid_stream(chance), chance), chance))
            compare(bare, wrapped, chance.choice(MODES), segments, chance.choice(["FIN", "RST"]))
        wrapped.check()


class TestSilence:
    """P1: a peer that falls silent, in the middle of whatever, is failed."""

    def test_after_any_stream(self, bare: Stage, serve: Serve) -> None:
        witness = Witness()
        wrapped = Stage(serve(witness, expect=UPSTREAM), witness)

        @examples(6, shrink=False)  # each takes half a second
        @given(st.lists(streams(), min_size=8, max_size=8))
        def run(several: list[list[bytes]]) -> None:
            several = [[frame(PONG) if one == RIGHT_PONG else one for one in s] for s in several]
            expected = [told_by_a_stream(bare, segments) for segments in several]
            connections = []
            with ExitStack() as stack:
                for segments in several:
                    began = time.monotonic()
                    client, path = wrapped.connect("receive")
                    stack.enter_context(client)
                    wrapped.send(client, segments)
                    late = time.monotonic() - began > INTERVAL  # the machine is too busy
                    connections.append((client, path, late))
                last = [client.until_end()[-1:] for client, _, _ in connections]
            for connection, before, frames in zip(connections, expected, last, strict=True):
                client, path, late = connection
                told = wrapped.end(client, path)
                if late:
                    assert ended(told)
                elif before is None:
                    assert ended(told)
                    assert FAILED not in told
                else:
                    assert told == [*before, FAILED, FAILED, FAILED]
                    assert frames == [(CLOSE, b"\x03\xf3keepalive ping timeout")]

        run()
        wrapped.check()


def ended(told: list[Any]) -> bool:
    return bool(told) and told[-1]["type"] == "websocket.disconnect"


def told_by_a_stream(stage: Stage, segments: list[bytes]) -> list[Any] | None:
    """Return what an application is told by a stream; `None` if it makes the server close."""
    client, path = stage.connect("receive")
    with client:
        stage.send(client, segments)
        told = stage.witness.told[path].copy()
        client.socket.settimeout(0.01)
        try:
            while client.receive()[0] != CLOSE:
                pass
            closes = True
        except TimeoutError:
            closes = False
        except (EOFError, ConnectionError):
            closes = True
    stage.end(client, path)
    return None if closes else told
