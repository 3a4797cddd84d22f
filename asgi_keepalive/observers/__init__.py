"""Observing connections: metrics, a list of those that are open, or whatever one writes oneself.

`KeepaliveMiddleware(app, observers=[...])` takes callables. Each is called with the scope of every
connection that the application accepts, and returns an `Observer` of that connection; or `None`,
to leave it out.

Beside it: `live` keeps those that are open, `prometheus` and `opentelemetry` count.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from ..extension import Scope
from ..text import shown
from ..verdict import Verdict


class Observer:
    """It is told of one connection: inherit from it, and override the methods that you need.

    Example::

        class Slow(Observer):
            def __init__(self, scope):
                self.path = scope["path"]

            def ponged(self, latency):
                if latency > 1:
                    print(f"{self.path}: {latency:.1f} s")


        app.add_middleware(KeepaliveMiddleware, observers=[Slow])

    Of a connection whose server gives no access to Pings only `opened` and `closed` are told;
    `get_keepalive(scope).supported` is false there.

    It is called on the event loop's thread, sometimes inside the application's task, and must not
    block. What it raises is logged, and harms neither the connection nor the other observers.
    """

    def opened(self) -> None:
        """The application has accepted the connection. This comes first."""

    def pinged(self) -> None:
        """A Ping has been written, the middleware's own or one of `Keepalive.ping`."""

    def ponged(self, latency: float) -> None:
        """A Pong has answered a Ping, after that many seconds."""

    def ending(self, deadline: float) -> None:
        """The connection will be closed at this time, in seconds of `time.monotonic()`.

        It is planned, by `max_age` or a drain, and comes `notice` seconds before, or as soon as
        it is known. It comes again if the end is moved to an earlier time.
        """

    def failed(self, verdict: Verdict) -> None:
        """No Pong came in time, so the connection has been failed. `closed` follows."""

    def closed(self) -> None:
        """The connection begins to close, or has been lost. This comes once, and last."""


RAISED = (Exception, asyncio.CancelledError)
"""An observer may raise these; the second, if it asks a cancelled task for its result."""

Factory = Callable[[Scope], Observer | None]

METHODS = ("opened", "pinged", "ponged", "ending", "failed", "closed")

NEVER_AWAITED = "{} is an async def, but observers are never awaited: let a plain def start a task"


def factories(observers: Iterable[Factory]) -> tuple[Factory, ...]:
    """Return the observers of a middleware.

    Raises:
        TypeError: They are not all callable, or one is known to need an `await`.
    """
    if not isinstance(observers, Iterable):
        raise TypeError(f"observers must be a list of callables, not {shown(observers)}")
    found = tuple(observers)
    for one in found:
        if not callable(one):
            raise TypeError(
                "observers must be callables, which take a scope and return an Observer, "
                f"not {shown(one)}"
            )
        if name := _async_factory(one):
            raise TypeError(NEVER_AWAITED.format(name))
    return found


def async_observer(observer: object) -> str | None:
    """Return the name of what would have to be awaited of an observer, if anything."""
    if inspect.iscoroutine(observer):
        observer.close()  # or Python warns that it has never been awaited
        return str(observer.__qualname__)
    return _async_method(type(observer))


def _async_method(kind: type) -> str | None:
    """Return the name of the first method that is an `async def`, if any."""
    # Of the class, as an instance may run code when it is asked.
    for name in METHODS:
        if _is_async(getattr(kind, name, None)):
            return f"{kind.__qualname__}.{name}"
    return None


def _async_factory(factory: Any) -> str | None:
    if inspect.isclass(factory):
        return _async_method(factory)
    is_async = _is_async(factory) or _is_async(type(factory).__call__)
    return shown(factory) if is_async else None


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
