"""The application that the middleware is put around, refused at once if it cannot be one."""

from __future__ import annotations

import inspect
from types import FunctionType, MethodType
from typing import Any

from asgiref.compatibility import double_to_single_callable

from .extension import Application
from .text import shown


def single_callable(app: Any) -> Application:
    """Return an application as ASGI 3 calls it.

    Raises:
        TypeError: It cannot be called as ASGI 3 asks.
    """
    # Not asgiref's guarantee_single_callable: it takes Starlette's endpoint classes for
    # ASGI 2 applications.
    if getattr(app, "_asgi_double_callable", False) is True:  # a mock has any attribute
        app = double_to_single_callable(app)  # type: ignore[no-untyped-call]
    elif not callable(app):
        raise TypeError(f"app must be an ASGI application, not {shown(app)}")
    elif inspect.isclass(app):
        _must_make_awaitables(app)
    else:
        _must_take_three(app)
    application: Application = app
    return application


def _must_make_awaitables(app: Any) -> None:
    """Refuse a class, unless a call of it may return what can be awaited.

    Starlette's endpoint classes do, by `__await__`; a metaclass or `__new__` may.
    """
    is_plain = type(app).__call__ is type.__call__ and app.__new__ is object.__new__
    if is_plain and not hasattr(app, "__await__"):
        name = app.__qualname__
        made = f"{name}.as_asgi()" if hasattr(app, "as_asgi") else f"{name}(...)"
        raise TypeError(f"app must be an ASGI application, not a class: say {made}, not {name}")


def _must_take_three(app: Any) -> None:
    signature = _signature(app)
    if signature is None:
        return
    try:
        signature.bind(None, None, None)
    except TypeError:
        raise TypeError(
            f"app must be an ASGI application, which is called with scope, receive and send, but "
            f"{shown(app)} takes ({', '.join(signature.parameters)}): if it makes the application, "
            "call it"
        ) from None


def _signature(app: Any) -> inspect.Signature | None:
    """Return the signature of a function, or of `__call__` in Python; `None` if in doubt.

    Decorators and proxies may take other arguments than they tell.
    """
    if type(app) is MethodType:
        call = app.__func__
    elif type(app) is FunctionType:
        call = app
    else:
        call = inspect.getattr_static(type(app), "__call__")
    if type(call) is not FunctionType or any(hasattr(x, "__signature__") for x in (app, call)):
        return None
    return inspect.signature(app, follow_wrapped=False)
