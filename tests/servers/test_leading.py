"""Which connection a wrapped `receive` and `send` lead to, and that a wrong one is never taken."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
from collections import UserList, deque
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from uvicorn.protocols.websockets.websockets_impl import WebSocketProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from asgi_keepalive.extension import Server
from asgi_keepalive.servers import daphne, find, gunicorn, hypercorn, uvicorn
from asgi_keepalive.servers.advice import Advice
from asgi_keepalive.servers.between import LIMIT, held_by

from ..support.fake_loop import in_no_time
from ..support.uvicorn import connection, unused

Wrap = Callable[[Any], Any]


APPLICATION: list[Any] = [[[] for _ in range(100)] for _ in range(100)]
for part in APPLICATION:
    part.append(APPLICATION)
"""More objects than are looked at, each of them held by the others."""


def closure(call: Any) -> Any:
    application = APPLICATION[0]

    async def wrapper(*event: Any) -> Any:
        assert application
        return await call(*event)

    return wrapper


def closures(call: Any) -> Any:
    return functools.reduce(lambda inner, _: closure(inner), range(50), call)


def objects(call: Any) -> Any:
    return functools.reduce(lambda inner, _: Wrapper(inner), range(20), call)


def named_like_the_servers(call: Any) -> Any:
    return functools.wraps(call)(closure(call))


def dictionary(call: Any) -> Any:
    calls = {"inner": call}

    async def wrapper(*event: Any) -> Any:
        return await calls["inner"](*event)

    return wrapper


def default(call: Any) -> Any:
    async def wrapper(*event: Any, inner: Any = call) -> Any:
        return await inner(*event)

    return wrapper


def partial(call: Any) -> Any:
    async def wrapper(inner: Any, *event: Any) -> Any:
        return await inner(*event)

    return functools.partial(wrapper, call)


class Wrapper:
    """Like what a framework makes of a connection."""

    call: Any

    def __init__(self, call: Any) -> None:
        vars(self).update(application=APPLICATION[0], call=call)  # a dictionary of its own

    async def __call__(self, *event: Any) -> Any:
        return await self.call(*event)


class Slots:
    __slots__ = ("call",)

    def __init__(self, call: Any) -> None:
        self.call = call

    async def wrapper(self, *event: Any) -> Any:
        return await self.call(*event)


WRAPPERS: dict[str, Wrap] = {
    "closure": closure,
    "fifty closures": closures,
    "functools.wraps": named_like_the_servers,
    "dictionary": dictionary,
    "default": default,
    "partial": partial,
    "object": Wrapper,
    "twenty objects": objects,
    "method": lambda call: Wrapper(call).__call__,
    "slots": lambda call: Slots(call).wrapper,
    "all": lambda call: Wrapper(partial(Slots(default(closure(call))).wrapper)).__call__,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@in_no_time
async def test_wrappers(wrap: Wrap) -> None:
    protocol = connection()
    receive, send = wrap(protocol.receive), wrap(protocol.send)
    server = find(protocol.scope, receive, send)
    assert isinstance(server, Server)
    assert (server.receive, server.send_message) == (receive, send)
    assert not server.releases_calls  # as what stands between may do anything
    assert protocol.transport.get_protocol() is not protocol


@pytest.mark.parametrize("is_accepted", [False, True])
@pytest.mark.parametrize("wrapped", ["receive", "send"])
@in_no_time
async def test_one_that_is_wrapped(wrapped: str, is_accepted: bool) -> None:
    protocol = connection()
    protocol.handshake_complete = is_accepted
    calls = {"receive": protocol.receive, "send": protocol.send}
    calls[wrapped] = closure(calls[wrapped])
    server = find(protocol.scope, **calls)
    assert isinstance(server, Server)
    assert server.receive == calls["receive"]


@in_no_time
async def test_nothing_between() -> None:
    protocol = connection()
    server = find({"type": "websocket"}, protocol.receive, protocol.send)
    assert isinstance(server, Server)
    assert server.releases_calls
    assert server.receive == protocol.queue.get


@pytest.mark.parametrize("key", ["headers", "extensions", "client"])
@in_no_time
async def test_scope_that_is_derived(key: str) -> None:
    protocol = connection()
    scope = {"type": "websocket", key: protocol.scope[key], "path": "/mounted"}
    assert isinstance(find(scope, closure(protocol.receive), closure(protocol.send)), Server)


def untouched(protocol: Any, scope: Any, receive: Any, send: Any) -> Advice:
    """Assert that the connection is not taken, and return why."""
    advice = find(scope, receive, send)
    assert isinstance(advice, Advice)
    assert protocol.transport.get_protocol() is protocol
    return advice


async def made_up(*event: Any) -> Any:
    return {"type": "websocket.connect"}


@pytest.mark.parametrize("mocked", [made_up, mock.AsyncMock(), asyncio.Queue().get, [].append])
@in_no_time
async def test_call_that_is_made_up(mocked: Any) -> None:
    """An application calls another one for its own purposes."""
    protocol = connection()
    untouched(protocol, protocol.scope, mocked, closure(protocol.send))
    untouched(protocol, protocol.scope, closure(protocol.receive), mocked)
    untouched(protocol, protocol.scope, protocol.receive, mocked)


@in_no_time
async def test_mock_that_was_called_with_the_servers() -> None:
    protocol = connection()
    calls = mock.AsyncMock()
    await calls(protocol.scope, protocol.receive, protocol.send)
    untouched(protocol, protocol.scope, calls, calls)


@in_no_time
async def test_queue_that_holds_the_servers() -> None:
    """As a queue of work to be done may."""
    protocol = connection()
    work: asyncio.Queue[Any] = asyncio.Queue()
    work.put_nowait((protocol.receive, protocol.send))
    untouched(protocol, protocol.scope, work.get, work.put)


@in_no_time
async def test_scope_that_is_made_up() -> None:
    protocol = connection()
    scope = {**protocol.scope, "headers": [], "extensions": {}, "client": None}
    protocol.scope["client"] = None
    untouched(protocol, scope, closure(protocol.receive), closure(protocol.send))


@in_no_time
async def test_scope_of_another_connection() -> None:
    """As where one connection's task runs an application for another one."""
    protocol, other = connection(), connection()
    receive, send = closure(protocol.receive), closure(protocol.send)
    untouched(protocol, other.scope, receive, send)
    assert isinstance(find(protocol.scope, receive, send), Server)
    assert other.transport.get_protocol() is other


@in_no_time
async def test_receive_of_another_connection() -> None:
    protocol, other = connection(), connection()
    untouched(protocol, protocol.scope, closure(other.receive), closure(protocol.send))


@pytest.mark.parametrize("cls", [WebSocketsSansIOProtocol, WebSocketProtocol])
@in_no_time
async def test_connection_that_is_accepted(cls: Any) -> None:
    """Its messages may carry something else, such as many connections in one."""
    protocol = connection(cls)
    if cls is WebSocketProtocol:
        protocol.handshake_started_event.set()
        calls = protocol.asgi_receive, protocol.asgi_send
    else:
        protocol.handshake_complete = True
        calls = protocol.receive, protocol.send
    untouched(protocol, protocol.scope, closure(calls[0]), closure(calls[1]))


def test_event_loop_of_another_thread() -> None:
    connections: list[Any] = []

    @in_no_time
    async def theirs() -> None:
        connections.append(connection())

    @in_no_time
    async def ours() -> None:
        [protocol] = connections
        untouched(protocol, protocol.scope, closure(protocol.receive), closure(protocol.send))

    theirs()
    ours()


@in_no_time
async def test_connection_without_what_is_needed() -> None:
    """The sentence names the connection, not what stands between."""
    protocol = connection()
    del protocol.writable
    advice = untouched(protocol, protocol.scope, closure(protocol.receive), closure(protocol.send))
    assert "WebSocketsSansIOProtocol" in advice
    del protocol.scope
    advice = untouched(protocol, {}, closure(protocol.receive), closure(protocol.send))
    assert "tests.servers.test_leading.closure" in advice


@pytest.mark.parametrize("server", [daphne, gunicorn, hypercorn, uvicorn])
def test_nothing_else_is_a_connection(server: Any) -> None:
    assert server.own(object()) is None


class TestHeld:
    """What something holds is looked at without a call, and within bounds."""

    def test_no_more_than_the_limit(self) -> None:
        chain: Any = []
        for _ in range(2 * LIMIT):
            chain = [chain, object.__new__(Wrapper)]
        assert len(list(held_by(lambda: chain))) == LIMIT

    @pytest.mark.parametrize("kind", [list, tuple, deque, UserList])
    def test_nothing_large(self, kind: Any) -> None:
        large = kind([unused] * (LIMIT + 1))
        assert unused not in list(held_by(large))
        assert unused in list(held_by(kind([unused])))

    def test_nothing_large_whatever_it_says_of_its_length(self) -> None:
        class Liar(list[Any]):
            def __len__(self) -> int:
                raise AssertionError("never called")

        assert unused not in list(held_by(Liar([unused] * (LIMIT + 1))))

    @in_no_time
    async def test_nothing_from_which_everything_can_be_reached(self) -> None:
        loop = asyncio.get_running_loop()
        variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")
        context = contextvars.copy_context()
        context.run(variable.set, [unused])
        future: asyncio.Future[Any] = loop.create_future()
        future.set_result([unused])
        coroutine = closure(unused)()
        for end in asyncio, Wrapper, loop, context, future, coroutine, mock.Mock(call=unused):
            assert list(held_by(end)) == [end]
        coroutine.close()

    def test_nothing_of_what_belongs_to_a_server(self) -> None:
        wrapper = Slots(unused)
        assert list(held_by(wrapper)) == [wrapper, unused, Slots]
        assert list(held_by(wrapper, {"tests"})) == [wrapper]

    def test_nothing_twice(self) -> None:
        ring: list[Any] = []
        ring.append(ring)
        assert list(held_by(ring)) == [ring]
        ring.clear()
        gc.collect()
