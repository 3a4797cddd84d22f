"""Whether what an application is given leads to a connection of its server, and to which.

Tracing, sessions, routes and the like wrap `receive` and `send`. What wraps a call has to hold it:
in the closure of a function, in a bound method's object, in an attribute. So from the outermost
wrapper a walk along what each object holds arrives at the server's own. It calls nothing, neither
`__getattr__` nor `__eq__`, so a proxy and a mock cannot disturb it.

To lead somewhere is not to pass everything on. An application may call another one with a `receive`
and a `send` of its own making. A connection that is taken over by mistake is worse than one that is
not kept alive, so `leads` asks for more than a way.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
from collections import deque
from collections.abc import Iterator, Sequence, Set
from heapq import heappop, heappush
from types import (
    AsyncGeneratorType,
    BuiltinMethodType,
    CellType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import Any, NamedTuple

from ..extension import Receive, Scope
from .origins import is_method_of, packages

LIMIT = 1000
"""Objects that are looked at; a server's own are among the first."""

CALLS = {BuiltinMethodType, CellType, FunctionType, MethodType, functools.partial}
"""The types of calls, and of what a function keeps in its closure."""

CONTAINERS = {dict, frozenset, list, set, tuple}
LARGE = (dict, deque, frozenset, list, set, tuple)
"""The types, with all that inherit from them, of what may hold millions of objects."""

ENDS = (
    *(type, ModuleType, CodeType, FrameType, CoroutineType, GeneratorType, AsyncGeneratorType),
    *(asyncio.AbstractEventLoop, asyncio.Future, asyncio.Queue, contextvars.Context),
)
"""The types of what is not looked into: from there everything can be reached."""

MOCKS = "unittest"
"""The package of mocks, which hold what they were called with."""

SHARED = ("headers", "extensions", "state", "client")
"""The keys of a scope whose values belong to one connection, and stay when a scope is copied."""


class Own(NamedTuple):
    """A connection as its server made it.

    Attributes:
        loop: The event loop of the server.
        scope: What the server put into the scope, as far as it is known.
        receive: What the server's own `receive` is bound to.
        is_accepted: Whether an application has accepted the connection, or refused it.
    """

    loop: asyncio.AbstractEventLoop
    scope: Scope
    receive: Any
    is_accepted: bool


def held_by(call: Any, ends: Set[str] = frozenset()) -> Iterator[Any]:
    """Yield a callable, what it holds, what that holds, and so on: the nearest first.

    What can be called is as near as what holds it: an object may hold a whole application, too.

    Args:
        call: A callable.
        ends: The names of packages. An object of theirs is yielded, but not what it holds.
    """
    ends = {*ends, MOCKS}
    seen = {id(call): call}
    waiting = [(0, 0, call)]
    while waiting:
        distance, _, one = heappop(waiting)
        yield one
        for held in () if type(one) not in CALLS and packages(one) & ends else _held(one):
            if len(seen) == LIMIT:
                break
            if gc.is_tracked(held) and id(held) not in seen:
                heappush(waiting, (distance + _is_further(one, held), len(seen), held))
                seen[id(held)] = held


def _is_further(one: Any, held: Any) -> bool:
    is_dictionary_of_object = type(held) is dict and type(one) not in CONTAINERS
    return not (type(one) in CALLS or callable(held) or is_dictionary_of_object)


def _held(one: Any) -> Sequence[Any]:
    if type(one) is FunctionType:  # not its module, which holds everything
        return [*(one.__closure__ or ()), *(one.__defaults__ or ()), one.__kwdefaults__]
    if type(one) is MethodType:
        return one.__self__, one.__func__
    if issubclass(type(one), ENDS) or _is_large(one):
        return ()
    return gc.get_referents(one)


def _is_large(one: Any) -> bool:
    # The length is asked of the type itself: a class that inherits from it may run anything.
    return any(issubclass(type(one), kind) and kind.__len__(one) > LIMIT for kind in LARGE)


def leads(own: Own, scope: Scope, receive: Receive) -> bool:
    """Whether an application whose `send` leads to a connection is the application of that one.

    Its `receive` must lead there, too: an application that calls another one for its own purposes
    mostly makes up events. Its scope must be derived from the connection's: something on the way
    may hold other connections. And nobody may have accepted yet, unless `receive` is the server's
    own: from then on, what wraps both calls may carry something else in the connection's messages.
    """
    return (
        (not own.is_accepted or is_method_of(own.receive, receive))
        and own.loop is asyncio.get_running_loop()
        and any(own.scope.get(key) and scope.get(key) is own.scope[key] for key in SHARED)
        and any(one is own.receive for one in held_by(receive))
    )
