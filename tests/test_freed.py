"""What an application holds is freed with it, at once: nothing is left to the garbage collector.

What its frames hold is a file, or a database session, whose `finally` or `__del__` has to come.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.endpoint.kernel import reset_on_close
from asgi_keepalive.stepping import call

from .conftest import Serve
from .support.applications import accept
from .support.client import CLOSE, Client
from .support.fake_loop import FakeServer, elapsed, fake_loop, in_no_time
from .support.server import wait_until

NONCE = 2 * "0123456789abcdef"


class Resource:
    """Something that an application holds."""


@pytest.fixture(scope="module", autouse=True)
def without_garbage_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def receiving(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass
    raise ConnectionError("the peer has gone")


async def sending(scope: Any, receive: Any, send: Any) -> None:
    while True:
        await send({"type": "websocket.send", "text": "x"})


async def pinging(scope: Any, receive: Any, send: Any) -> None:
    while True:
        await get_keepalive(scope).ping()


async def giving_up(scope: Any, receive: Any, send: Any) -> None:
    async with asyncio.timeout(1.75):
        await receive()


def fails(server: FakeServer) -> None:
    """Its Pong is not going to come."""


def refuses_at_failure(server: FakeServer) -> None:
    server.on_fail = server.writable.set  # then it raises


def goes(server: FakeServer) -> None:
    server.incoming.put_nowait(ConnectionResetError())
    server.is_open = False
    server.writable.set()
    server.closing()


def is_cancelled(server: FakeServer) -> None:
    server.task.cancel()


@pytest.mark.parametrize("page", [False, True], ids=["", "page"])
@pytest.mark.parametrize("ends", ["returns", "leaves it", "raises", "raises a group"])
@pytest.mark.parametrize("what", [fails, refuses_at_failure, goes, is_cancelled])
@pytest.mark.parametrize("waits", [receiving, sending, pinging, giving_up])
@in_no_time
async def test_what_an_application_holds(
    waits: Any, what: Callable[[FakeServer], None], ends: str, page: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        resource = Resource()
        held.update({weakref.ref(resource), weakref.ref(get_keepalive(scope)._link)})
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(0.5)
        try:
            await waits(scope, receive, send)
        except Exception as error:
            if ends == "leaves it":
                raise
            if ends == "raises":
                raise KeyError("mine") from None
            if ends == "raises a group":
                raise ExceptionGroup("mine", [error]) from None

    held: set[weakref.ref[Any]] = set()
    query = f"asgi-keepalive={NONCE}".encode() if page else b""
    wrapped = KeepaliveMiddleware(app, ping_interval=1, ping_timeout=1)
    server = FakeServer(wrapped, query_string=query)
    await asyncio.sleep(0.25)
    server.writable.clear()
    await asyncio.sleep(1)
    what(server)
    await asyncio.wait({server.task}, timeout=10)
    assert server.task.done()
    assert elapsed() <= 2
    if not server.task.cancelled():
        server.task.exception()
    server.sent.clear()
    del server.task, server  # the task holds the error that has left the application
    await asyncio.sleep(0)
    assert [one() for one in held] == [None, None]


@in_no_time
async def test_error_of_what_a_server_waits_for() -> None:
    async def app() -> None:
        resource = Resource()
        resources.append(weakref.ref(resource))
        await call(waits(), [])

    async def waits() -> None:
        await waited_for.pop()

    resources: list[weakref.ref[Resource]] = []
    waited_for = [fake_loop().create_future()]
    fake_loop().call_later(1, waited_for[0].set_exception, ConnectionResetError())
    task = asyncio.create_task(app())
    await asyncio.wait({task})
    assert type(task.exception()) is ConnectionResetError
    del task
    assert resources[0]() is None


session: contextvars.ContextVar[Resource] = contextvars.ContextVar("session")


class Context:
    """An application that accepts, and has something in its context."""

    def __init__(self) -> None:
        self.resources: list[weakref.ref[Resource]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        resource = Resource()
        self.resources.append(weakref.ref(resource))
        session.set(resource)
        await accept(receive, send)
        while (await receive())["type"] != "websocket.disconnect":
            pass


@pytest.mark.parametrize("interval", [1, 1000, None])
@in_no_time
async def test_context(interval: float | None) -> None:
    """The first connection starts what watches over the loop, for all others as well."""
    app = Context()
    wrapped = KeepaliveMiddleware(app, ping_interval=interval)
    servers = [FakeServer(wrapped, pong_after=0.1) for _ in range(3)]
    await asyncio.sleep(5)
    for server in servers[:2]:
        server.disconnect(1001)
        await server.task
    del servers[:2], server
    await asyncio.sleep(1)
    gc.collect()  # what stands for the server holds too much
    assert [resource() is None for resource in app.resources] == [True, True, False]


@pytest.mark.parametrize("leaves", ["closes", "resets", "is silent"])
def test_context_on_real_servers(serve: Serve, ws: str, leaves: str) -> None:
    app = Context()
    # hypercorn's own task waits for a connection that is closing, in the application's context.
    # gunicorn keeps its task as long as the connection, with that context.
    bounded = ws in {"hypercorn", "gunicorn"}
    server = serve(app, ping_timeout=1, close_timeout=0.5 if bounded else 60)
    with Client(server.port).open() as first, Client(server.port).open() as other:
        if leaves == "closes":
            first.send(CLOSE, b"\x03\xe8")
        elif leaves == "resets":
            reset_on_close(first.socket)
            first.close()

        def is_freed() -> bool:
            other.answer(0.1)
            return bool(gc.collect() >= 0 and app.resources[0]() is None)

        wait_until(is_freed)
        assert app.resources[1]() is not None
