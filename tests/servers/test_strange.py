"""What an application is given may be anything; none of it is a reason to fail, or to take long."""

from __future__ import annotations

import asyncio
import functools
import types
from typing import Any
from unittest import mock

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.servers import find
from asgi_keepalive.servers.advice import Advice

from ..support.fake_loop import in_no_time
from ..support.uvicorn import unused

SCOPE: Any = {"type": "websocket"}


class Raising:
    """Raises for each name, as a lazy proxy does that is bound to nothing."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("working outside of request context")


class Everything:
    """Has every attribute, and is equal to nothing."""

    def __getattr__(self, name: str) -> Any:
        return Everything()

    def __eq__(self, other: object) -> bool:
        raise TypeError("not to be compared")

    __hash__ = object.__hash__


class Odd(type):
    """The classes of this one tell nothing about themselves that is of use."""

    def __getattribute__(cls, name: str) -> Any:
        if name == "__mro__":
            raise LookupError
        return mock.Mock()


def without_a_module() -> Any:
    async def call(*args: Any) -> Any: ...

    call.__module__ = None  # type: ignore[assignment]
    return call


def cycle() -> Any:
    call = functools.partial(unused)
    call.__setstate__((call, (), {}, {}))  # type: ignore[attr-defined]
    return call


STRANGE = {
    "no module": without_a_module(),
    "globals without a name": types.FunctionType(unused.__code__, {}),
    "module of its wrapped": functools.wraps(mock.Mock(__module__=None))(without_a_module()),
    "module that is a property": type("Call", (), {"__module__": property(id)})(),
    "odd class": Odd("Call", (), {})(),
    "Mock": mock.Mock(),
    "AsyncMock": mock.AsyncMock(),
    "AsyncMock of a function": mock.AsyncMock(spec=unused),
    "Mock of a partial": mock.MagicMock(spec=functools.partial(unused)),
    "raising": Raising(),
    "everything": Everything(),
    "partial of partials": functools.partial(
        functools.partial(mock.Mock(), mock.Mock()), Raising()
    ),
    "partial of many": functools.partial(unused, *[unused] * 100_000),
    "cycle of partials": cycle(),
    "builtin": print,
    "builtin method": [].append,
    "slot": ServerState().__init__,  # type: ignore[misc]
    "class": WebSocketsSansIOProtocol,
    "None": None,
    "named like a helper here": type("Call", (), {"__module__": "closing"})(),
    "named like a server": type("Call", (), {"__module__": "uvicorn"})(),
    "named like one, and nothing of it": types.new_class("hypercorn")(),
}


class TestStrange:
    """What is no server's is no reason to fail, nor to take long."""

    @pytest.mark.parametrize("name", STRANGE)
    @in_no_time
    async def test_call(self, name: str) -> None:
        call = STRANGE[name]
        for calls in (call, call), (unused, call), (call, unused):
            assert isinstance(find(SCOPE, *calls), Advice)
        app = mock.AsyncMock()
        await KeepaliveMiddleware(app)({**SCOPE}, call, call)
        [(_, receive, send)] = [awaited.args for awaited in app.await_args_list]
        assert (receive is call, send is call) == (True, True)

    @pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {}}])
    @in_no_time
    async def test_extensions(self, extensions: dict[str, Any]) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        assert isinstance(find({**SCOPE, **extensions}, unused, unused), Advice)
        assert isinstance(find({**SCOPE, **extensions}, queue.get, queue.put), Advice)

    @in_no_time
    async def test_number_of_looks_is_bounded(self) -> None:
        looks = []

        class Counting:
            def __getattr__(self, name: str) -> Any:
                looks.append(name)
                raise AttributeError(name)

        find(SCOPE, unused, functools.partial(unused, *[Counting() for _ in range(10_000)]))
        assert 0 < len(looks) < 1000
