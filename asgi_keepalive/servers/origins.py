"""From what an application is given to the objects that it was made of, and their modules.

What stands between a server and the middleware may be anything: mocks, proxies that answer to
every name or raise for it, partials of partials. None of them may make this raise or take long.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from itertools import islice
from types import FunctionType, MethodType
from typing import Any

LIMIT = 100
"""Objects that are looked at; a server's own are among the first."""


def owners(*calls: Any) -> Iterator[Any]:
    """Yield what callables are bound to: methods to an object, partials to arguments."""
    waiting = list(calls)
    for call in islice(waiting, LIMIT):
        if type(call) is functools.partial:
            waiting += (call.func, *call.args[:LIMIT])
        else:
            yield _bound_to(call)


def is_method_of(owner: Any, call: Any) -> bool:
    """Whether a callable is a bound method of an object, and no proxy of one."""
    return type(call) is MethodType and call.__self__ is owner


def makes(owner: Any, send: Any) -> bool:
    """Whether a callable is a method of an object, or a partial of its server's method."""
    if type(send) is functools.partial:
        return type(send.func) is MethodType and any(one is owner for one in send.args)
    return _bound_to(send) is owner


def _bound_to(call: Any) -> Any:
    with contextlib.suppress(Exception):
        return call.__self__
    return call


def modules(owner: Any) -> list[str]:
    """Return the names of the modules that define a function, or the classes of an object."""
    names: list[Any] = []
    with contextlib.suppress(Exception):
        if type(owner) is FunctionType:
            names.append(owner.__globals__.get("__name__"))  # `functools.wraps` changes its own
        else:
            names += (cls.__module__ for cls in islice(type(owner).__mro__, LIMIT))
    return [name for name in names if isinstance(name, str)]


def packages(owner: Any) -> set[str]:
    """Return the names of the packages that define the classes of an object."""
    return (
        set()
        if type(owner) is FunctionType
        else {module.partition(".")[0] for module in modules(owner)}
    )


def name(call: Any) -> str:
    """Return what a message calls a callable: the class or function that made it, with its module.

    Functions that stand between are mostly made anew for each connection, two by one function.
    """
    owner = next(owners(call), call)
    qualified = type(type(owner)).__name__
    with contextlib.suppress(Exception):
        is_function = type(owner) is FunctionType
        named = owner.__code__.co_qualname if is_function else type(owner).__qualname__
        qualified = str(named).partition(".<locals>")[0].removesuffix(".__call__")
    return ".".join([*modules(owner)[:1], qualified])[:LIMIT]
