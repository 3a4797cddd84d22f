"""An observer that takes notes, and connections that are observed, or live without a server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from asgi_keepalive import Keepalive, KeepaliveMiddleware, Observer, Verdict
from asgi_keepalive.extension import Scope
from asgi_keepalive.observers.live import LiveConnection
from asgi_keepalive.settings import Settings

from .connection import TIMES
from .fake_loop import FakeServer, Puppet, elapsed, ticks


class Notes:
    """Observes connections: `observers=[Notes()]`."""

    def __init__(self) -> None:
        self.taken: list[tuple[Any, ...]] = []
        self.scopes: list[Scope] = []

    def __call__(self, scope: Scope) -> Observer:
        self.scopes.append(scope)
        return _Notes(self.taken)


class _Notes(Observer):
    def __init__(self, taken: list[tuple[Any, ...]]) -> None:
        self._taken = taken

    def opened(self) -> None:
        self._take("opened")

    def pinged(self) -> None:
        self._take("pinged")

    def ponged(self, latency: float) -> None:
        self._take("ponged", latency)

    def failed(self, verdict: Verdict) -> None:
        self._take("failed", verdict)

    def closed(self) -> None:
        self._take("closed")

    def _take(self, *what: Any) -> None:
        self._taken.append((elapsed(), *what))


async def observed(
    *observers: Any, pong_after: float | None = 1, **settings: Any
) -> tuple[FakeServer, Puppet]:
    app = Puppet()
    wrapped = KeepaliveMiddleware(app, observers=observers, **{**TIMES, **settings})
    server = FakeServer(wrapped, pong_after=pong_after)
    await ticks()
    return server, app


def added(
    live: Callable[[Scope], LiveConnection], number: int, *latencies: float, path: str = "/"
) -> LiveConnection:
    """Add a connection by hand."""
    keepalive = Keepalive(Settings())
    keepalive._supported = True
    scope = {"client": ("192.0.2.1", number), "path": path, "state": {"keepalive": keepalive}}
    connection = live(scope)
    connection.opened()
    for latency in latencies:
        pong(connection, latency)
    return connection


def pong(connection: LiveConnection, latency: float) -> None:
    """Let a connection have answered a Ping."""
    connection.pinged()
    connection.keepalive._round_trips.add(latency, time.monotonic())
    connection.ponged(latency)


def overdue(connection: LiveConnection) -> None:
    """Let a Pong be overdue."""

    class Link:
        awaited_since = time.monotonic() - 2

    connection.keepalive._link = Link()  # type: ignore[assignment]
