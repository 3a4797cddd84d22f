"""The application is cancelled, or something raises, inside each await that it can be in."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Awaitable, Generator
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import get_keepalive
from asgi_keepalive.connection import Connection
from asgi_keepalive.crowd import Crowd
from asgi_keepalive.endpoint.closing import BoundedTransport

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import CLOSE, TEXT, Client
from ..support.server import wait_until


class Raised(Exception):
    """What something raises that the application awaits."""


class Faulty(Awaitable[None]):
    """Steps a coroutine by hand: when it waits for the n-th time, the fault happens."""

    def __init__(self, awaitable: Awaitable[None], n: int, fault: type[BaseException]) -> None:
        self._steps: Any = awaitable.__await__()
        self._n = n
        self._fault = fault
        self.happened = False

    def __await__(self) -> Generator[Any, Any, None]:
        waited = 0
        try:
            while True:
                waits_on = next(self._steps)
                waited += 1
                if waited == self._n:
                    self.happened = True
                    if self._fault is Raised:
                        waits_on = self._steps.throw(Raised)
                    else:
                        task = asyncio.current_task()
                        assert task is not None
                        task.cancel()
                try:
                    yield waits_on
                except asyncio.CancelledError as error:
                    yield self._steps.throw(error)
        except StopIteration:
            return


async def everything(scope: Any, receive: Any, send: Any) -> None:
    """Wait in each of the ways there are."""
    await accept(receive, send)
    event = await receive()
    await send({**event, "type": "websocket.send"})
    await get_keepalive(scope).ping()
    for _ in range(2):  # blocks until the client reads
        await send({"type": "websocket.send", "bytes": bytes(4_000_000)})
    await receive()
    await send({"type": "websocket.close"})


async def echo_on(receive: Any, send: Any) -> None:
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


def talk(port: int) -> None:
    """Be the client of any part of it, whatever becomes of the server."""
    with Client(port, receive_buffer=4096) as client, suppress(EOFError, ConnectionError):
        if " 101 " not in client.response():
            return
        client.send(TEXT, b"one")
        client.answer(0.05)  # the echo, the Ping, and the beginning of what is big
        time.sleep(0.05)
        client.send(TEXT, b"two")
        client.answer(0.2)
        client.send(CLOSE, b"\x03\xe8")
        client.answer(10)


def left_over(before: list[Any]) -> list[Any]:
    """Return what there is of the middleware's objects for connections, and was not before."""
    gc.collect()
    kinds = (Connection, BoundedTransport, Crowd)
    known = set(map(id, before))
    return [one for one in gc.get_objects() if type(one) in kinds and id(one) not in known]


@pytest.mark.parametrize("goes_on", [False, True], ids=["leaves", "goes on"])
@pytest.mark.parametrize("fault", [asyncio.CancelledError, Raised])
def test_in_each_await(
    serve: Serve, reports: Reports, fault: type[BaseException], goes_on: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        faulty = Faulty(everything(scope, receive, send), n, fault)
        try:
            await faulty
        except fault:
            if not goes_on:
                raise
            await echo_on(receive, send)
        finally:
            reports.put((faulty.happened, get_keepalive(scope)))

    before = left_over([])  # which tracebacks that other tests have logged hold on to
    server = serve(app, ping_timeout=5, expect=("Exception in ASGI application",))
    for n in itertools.count(1):  # noqa: B007 (the application uses it)
        talk(server.port)
        happened, keepalive = reports.get()
        wait_until(lambda: not server.connections())
        wait_until(lambda: server.run(lambda: len(asyncio.all_tasks(server.loop))) == 1)
        for record in server.records:
            record.exc_info = None  # which holds on to the connection
        assert left_over(before) == []
        assert not keepalive.timed_out
        if goes_on and fault is asyncio.CancelledError:
            assert keepalive.latency is not None
        if not happened:
            break
    assert n >= 5  # it waits in two receives, one send and one ping at least


def test_calls_that_are_given_up_on_lose_nothing(serve: Serve, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        received: list[str] = []
        given_up = 0
        while len(received) < 100:
            try:
                async with asyncio.timeout(0.001):
                    event = await receive()
                received.append(event["text"])
            except TimeoutError:
                given_up += 1
        reports.put((received, given_up))
        for number in range(100):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    await send({"type": "websocket.send", "bytes": b"%02d" % number * 50_000})
        await receive()

    server = serve(app, ping_timeout=10)
    with Client(server.port, receive_buffer=4096).open() as client:
        for number in range(100):
            client.send(TEXT, b"%d" % number)
            time.sleep(0.002)
        received, given_up = reports.get()
        assert received == [str(number) for number in range(100)]
        assert given_up > 10
        time.sleep(0.2)
        numbers = [int(payload[:2]) for _, payload in client.answer(2)]
        assert numbers == sorted(set(numbers))
