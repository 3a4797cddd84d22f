"""A room in which whoever talks is heard by all, and some members are frozen.

Its application, as in every tutorial, sends to one member after the other: a frozen one blocks
the handlers of all that talk, so that these are not read any more, and their Pongs neither.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress
from typing import Any, Self

import pytest

from asgi_keepalive import get_keepalive

from .conftest import Reports, Serve
from .support.applications import accept, stream
from .support.client import PING, PONG, TEXT, Client

INTERVAL = 0.3
TIMEOUT = 1.0

SAYS_NOTHING_IN_BETWEEN = 0.004
"""Seconds from one message of a member that talks to the next."""


class Room:
    """The application. At the path `/frozen` it fills all buffers first."""

    def __init__(self, reports: Reports) -> None:
        self.members: list[Any] = []
        self.reports = reports

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        self.members.append(send)
        try:
            if scope["path"] == "/frozen":
                await stream(send)
            while (event := await receive())["type"] == "websocket.receive":
                await self.broadcast(event["text"])
            self.reports.put((scope["path"], get_keepalive(scope).verdict))
        finally:
            self.members.remove(send)

    async def broadcast(self, text: str) -> None:
        for send in self.members.copy():
            # Its own handler is told, too; uvicorn's `websockets` protocol raises a RuntimeError.
            with suppress(OSError, RuntimeError):
                await send({"type": "websocket.send", "text": text})


class Talker(threading.Thread):
    """A healthy member: reads, answers Pings, and talks all the time."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.client = Client(port, path="/healthy").open()
        self.client.socket.settimeout(SAYS_NOTHING_IN_BETWEEN)
        self.pings = 0
        self.over = threading.Event()

    def run(self) -> None:
        with self.client, suppress(EOFError, ConnectionError):
            while not self.over.is_set():
                self.client.send(TEXT, b"hello")
                end = time.monotonic() + SAYS_NOTHING_IN_BETWEEN
                while time.monotonic() < end:
                    self.read()

    def read(self) -> None:
        try:
            opcode, payload = self.client.receive()
        except TimeoutError:
            return
        if opcode == PING:
            self.pings += 1
            self.client.send(PONG, payload)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.join()


@pytest.mark.parametrize(
    "members",
    [
        ["/frozen", "/healthy"],
        ["/frozen", "/healthy", "/healthy", "/frozen", "/healthy", "/frozen"],
    ],
    ids=len,
)
def test_healthy_members_live(serve: Serve, reports: Reports, members: list[str]) -> None:
    server = serve(Room(reports), ping_interval=INTERVAL, ping_timeout=TIMEOUT)
    with ExitStack() as stack:
        talkers = []
        for path in members:
            if path == "/frozen":
                client = Client(server.port, path=path, receive_buffer=4096)
                stack.enter_context(client).open()
            else:
                talkers.append(stack.enter_context(Talker(server.port)))
            time.sleep(0.05)
        for _ in range(members.count("/frozen")):
            path, verdict = reports.get()
            assert (path, verdict.reason) == ("/frozen", "frozen")
        pings = [talker.pings for talker in talkers]
        time.sleep(INTERVAL + TIMEOUT)
        assert reports.empty()
        assert all(talker.pings > before for talker, before in zip(talkers, pings, strict=True))
