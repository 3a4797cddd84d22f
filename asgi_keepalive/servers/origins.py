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


def _bound_to(call: Any) -> Any:
    with contextlib.suppress(Exception):
        return call.__self__
    return call


def modules(owner: Any) -> list[str]:
    """Return the names of the modules that define a function, or the classes of an object."""
    names: list[Any] = []
    with contextlib.suppress(Exception):
        if type(owner) is FunctionType:
            names.append(owner.__module__)
        else:
            names += (cls.__module__ for cls in islice(type(owner).__mro__, LIMIT))
    return [name for name in names if isinstance(name, str)]


def name(call: Any) -> str:
    """Return what a message calls a callable: the class or function that made it, with its module.

    Functions that stand between are mostly made anew for each connection, two by one function.
    """
    owner = next(owners(call), call)
    named = owner if type(owner) is FunctionType else type(owner)
    qualified = type(named).__name__
    with contextlib.suppress(Exception):
        qualified = str(named.__qualname__).partition(".<locals>")[0].removesuffix(".__call__")
    return ".".join([*modules(owner)[:1], qualified])[:LIMIT]
