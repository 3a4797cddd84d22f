"""What the example and the page about broadcasting say of one frozen member is what happens."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

from asgi_keepalive import KeepaliveMiddleware

from .support.client import CLOSE, PING, PONG, TEXT, Client
from .support.server import Server, logged, running, wait_until
from .support.serving import serving

ROOT = Path(__file__).parent.parent
EXAMPLE = (ROOT / "examples" / "broadcast.py").read_text()
PAGE = (ROOT / "docs" / "broadcasting.md").read_text()

MESSAGES, SIZE = 50, 2**18
"""More than the kernel and the server take for somebody who is frozen."""

PROMPT = 0.5
"""Seconds within which a message is heard, on a machine that has other things to do as well."""


class Member(threading.Thread):
    """A healthy member: reads, and answers Pings.

    Attributes:
        heard: When each message came.
        closed: The payload of the Close frame.
    """

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.client = Client(port, path="/ws").open()
        self.heard: dict[bytes, float] = {}
        self.closed: bytes | None = None
        self.start()

    def run(self) -> None:
        with self.client, suppress(EOFError, ConnectionError):
            while self.closed is None:
                opcode, payload = self.client.receive()
                if opcode == PING:
                    self.client.send(PONG, payload)
                elif opcode == CLOSE:
                    self.closed = payload
                else:
                    self.heard[payload.rstrip()] = time.monotonic()

    def leave(self) -> None:
        self.client.send(CLOSE, b"\x03\xe8")
        self.join(timeout=10)
        assert self.closed == b"\x03\xe8"


class Room:
    """A served room: a member who is frozen, then two who are not, the first of whom talks."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.tasks = self.count_tasks()
        self._numbers = itertools.count()
        self.frozen = Client(server.port, path="/ws", receive_buffer=4096).open()
        self.talker, self.other = Member(server.port), Member(server.port)
        wait_until(lambda: server.connections() == 3)

    def count_tasks(self) -> int:
        return int(self.server.run(lambda: len(asyncio.all_tasks(self.server.loop))))

    def talk(self) -> float:
        """Say many big things, each once the last is heard; return the longest that one took."""
        return max(self._until_heard() for _ in range(MESSAGES))

    def _until_heard(self) -> float:
        """Return how long it took until all have heard something, or the talker was cut off."""
        if not self.talker.is_alive():
            return 0
        began = time.monotonic()
        text = self.say()
        wait_until(lambda: self._is_heard(text) or not self.talker.is_alive())
        return time.monotonic() - began

    def say(self) -> bytes:
        """Say something new and big, and return it without the blanks at its end."""
        text = b"%d" % next(self._numbers)
        self.talker.client.send(TEXT, text.ljust(SIZE))
        return text

    def _is_heard(self, text: bytes) -> bool:
        return text in self.talker.heard and text in self.other.heard


@contextmanager
def room(app: Any) -> Iterator[Room]:
    """Serve a room; once all have left, nothing of them may be left."""
    with running(serving(app, loop="asyncio", ws="auto")) as server:
        room = Room(server)
        with room.frozen:
            yield room
            for member in room.talker, room.other:
                if member.is_alive():
                    member.leave()
            wait_until(lambda: not server.connections())
            wait_until(lambda: room.count_tasks() == room.tasks)


@contextmanager
def example(monkeypatch: pytest.MonkeyPatch, backlog: int, **settings: str) -> Iterator[Room]:
    with monkeypatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        module = importlib.reload(importlib.import_module("examples.broadcast"))
    monkeypatch.setattr(module, "BACKLOG", backlog)
    with room(module.app) as served:
        yield served
    assert not module.members
    assert not served.server.complaints()


def test_who_is_a_backlog_behind_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    with example(monkeypatch, backlog=4, PING_TIMEOUT="20", CLOSE_TIMEOUT="0.3") as room:
        assert room.talk() < PROMPT
        wait_until(lambda: room.server.connections() == 2)
        assert not logged(room.server, "keepalive ping timeout")


def test_who_is_frozen_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"PING_INTERVAL": "0.5", "PING_TIMEOUT": "2", "CLOSE_TIMEOUT": "0.3"}
    with example(monkeypatch, backlog=2 * MESSAGES, **settings) as room:
        assert room.talk() < PROMPT
        wait_until(lambda: room.server.connections() == 2)
        assert room.talk() < PROMPT
        [line] = logged(room.server, "keepalive ping timeout")
        assert "frozen" in line.getMessage()


def test_who_leaves_while_messages_come_and_go_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"PING_INTERVAL": "0.3", "PING_TIMEOUT": "0.5", "CLOSE_TIMEOUT": "0.3"}
    with example(monkeypatch, backlog=2 * MESSAGES, **settings) as room:
        for _ in range(20):
            room.say()


def code(containing: str) -> str:
    [block] = [b for b in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if containing in b]
    return str(block)


def test_without_an_outbox_all_wait_and_whoever_talked_is_cut_off() -> None:
    app = FastAPI()
    app.add_middleware(KeepaliveMiddleware, ping_interval=0.5, ping_timeout=2, close_timeout=0.3)
    exec(code("await member.send_text"), {"app": app, "WebSocket": WebSocket})
    with room(app) as served:
        assert served.talk() > PROMPT
        assert not served.talker.is_alive()
        assert served.other.is_alive()
        [line] = served.server.complaints()
        assert "Exception in ASGI application" in line.getMessage()


@pytest.mark.parametrize("part", ["class Member", "await Member(websocket)"])
def test_the_page_shows_the_example(part: str) -> None:
    assert code(part).strip() in EXAMPLE


def test_dropping_the_oldest() -> None:
    namespace: dict[str, Any] = {}
    exec("class Member:\n" + code("get_nowait"), namespace)
    member = namespace["Member"]()
    member._outbox = asyncio.Queue(2)
    for text in "abc":
        member.tell(text)
    assert [member._outbox.get_nowait() for _ in range(2)] == ["b", "c"]
