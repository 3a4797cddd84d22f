"""Whatever waits inside a server's calls, a failure ends them, and cancels no application.

Each seed is a connection that is failed at some moment. Its `receive` and `send` wait in several
ways inside one another, and so does its application. All of them give up, and begin anew, at the
same few moments, so that much happens in the same turn of the loop.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout
from asgi_keepalive.extension import Event

from .support.fake_loop import fake_loop, run
from .support.timeouts import FAILED

MOMENTS = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
"""Binary fractions, whose sums are exact."""

Wait = Callable[[], Awaitable[None]]
"""Something to wait for; it may end in vain."""

Way = Callable[[Wait, float], Awaitable[None]]
"""How it is waited for, and for how many seconds."""


async def timeout(wait: Wait, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wait()


async def wait_for(wait: Wait, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(wait(), seconds)


async def fail_after(wait: Wait, seconds: float) -> None:
    with suppress(TimeoutError), anyio.fail_after(seconds):
        await wait()


async def move_on_after(wait: Wait, seconds: float) -> None:
    with anyio.move_on_after(seconds):
        await wait()


async def again_and_again(wait: Wait, seconds: float) -> None:
    for _ in range(3):
        await timeout(wait, seconds)


async def cleaning_up(wait: Wait, seconds: float) -> None:
    try:
        await wait()
    finally:
        await asyncio.sleep(0)


async def looking_now_and_then(wait: Wait, seconds: float) -> None:
    await asyncio.sleep(seconds)


async def a_turn_later(wait: Wait, seconds: float) -> None:
    await asyncio.sleep(0)
    await wait()


async def in_a_group(wait: Wait, seconds: float) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_run(wait))


async def in_a_task(wait: Wait, seconds: float) -> None:
    task = asyncio.create_task(_run(wait))
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()


async def _run(wait: Wait) -> None:
    await wait()


GIVING_UP: list[Way] = [timeout, fail_after, move_on_after, wait_for]
ALL: list[Way] = [
    *GIVING_UP,
    *(again_and_again, cleaning_up, looking_now_and_then, a_turn_later, in_a_group, in_a_task),
]
SWALLOWING: list[Way] = [wait_for] if sys.version_info < (3, 12) else []
"""What loses a cancellation that comes together with something else."""


class Connection:
    """One connection, both ends of it."""

    def __init__(self, chance: random.Random, without: list[Way]) -> None:
        self.chance = chance
        self.without = without
        self.connect: list[Event] = [{"type": "websocket.connect"}]
        self.never = asyncio.Event()
        self.wait = self.somehow(self.never.wait, ALL, chance.randrange(5))
        self.call = chance.choice([self.app_receive, self.app_send])
        self.call_patiently = self.somehow(self.call, GIVING_UP, chance.randrange(3))
        self.told: object = None
        self.cancelled = 0

    def somehow(self, wait: Any, ways: list[Way], depth: int) -> Wait:
        """Return a wait in several ways inside one another."""

        def inside(wait: Wait, way: Way, seconds: float) -> Wait:
            return lambda: way(wait, seconds)

        ways = [way for way in ways if way not in self.without]
        for _ in range(depth):
            wait = inside(wait, self.chance.choice(ways), self.chance.choice(MOMENTS))
        return wait  # type: ignore[no-any-return]

    # The server.

    async def server_receive(self) -> Event:
        while not self.connect:
            await self.wait()
        return self.connect.pop()

    async def server_send(self, event: Event) -> None:
        while event["type"] == "websocket.send":
            await self.wait()

    # The application.

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.receive, self.send = receive, send
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while self.told is None:
                await self.call_patiently()
        except asyncio.CancelledError:
            self.cancelled += 1
        with pytest.raises(TimeoutError):  # it can go on to wait for other things
            async with asyncio.timeout(1):
                await self.never.wait()

    async def app_receive(self) -> None:
        self.told = await self.receive()

    async def app_send(self) -> None:
        try:
            await self.send({"type": "websocket.send", "text": ""})
        except KeepaliveTimeout:
            self.told = FAILED


async def play(seed: int, *, cancel: bool = False) -> None:
    chance = random.Random(seed)
    connection = Connection(chance, SWALLOWING if cancel else [])
    interval, patience = chance.choice(MOMENTS), chance.choice(MOMENTS)
    app = KeepaliveMiddleware(connection, ping_interval=interval, ping_timeout=patience)
    functions = dict.fromkeys(["take_over", "ping", "fail", "read_ahead"], lambda *_: None)
    scope = {"type": "websocket", "path": "/", "extensions": {"websocket.ping": functions}}
    task = asyncio.create_task(app(scope, connection.server_receive, connection.server_send))
    cancelled = 0

    def cancel_in(turns: int) -> None:
        nonlocal cancelled
        if turns:
            fake_loop().call_soon(cancel_in, turns - 1)
        elif connection.told is None:
            cancelled = 1
            task.cancel()

    if cancel:
        fake_loop().call_later(chance.choice(MOMENTS) + patience, cancel_in, chance.randrange(4))
    await asyncio.wait({task}, timeout=100)
    assert task.done(), "the application hangs"
    await task
    assert connection.cancelled == task.cancelling() == cancelled
    assert connection.told == (None if cancelled else FAILED)


@pytest.mark.parametrize("cancel", [False, True])
def test_what_an_application_is_told(cancel: bool) -> None:
    for seed in range(3000):
        try:
            run(play(seed, cancel=cancel))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
