"""Joining a connection of uvicorn's with an endpoint, in one of the two ways there are."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable
from math import inf
from typing import Any

import uvicorn

from ...endpoint.endpoint import Endpoint
from ...endpoint.transports import missing_methods
from ...extension import EXTENSION, Event, Extension, Send

TOUCHED = ("config", "loop", "ping_interval", "shutdown", "transport")
"""The undocumented attributes of every protocol on which this package rests."""

KILLED_EARLY = 1.0
"""Seconds by which a worker must have gone before gunicorn kills it."""

logger = logging.getLogger("asgi_keepalive")


def unexpected(protocol: Any, touched: tuple[str, ...]) -> list[str]:
    """Return what a protocol and its surroundings lack, as those of tests may."""
    lacking = [name for name in touched if not hasattr(protocol, name)]
    if lacking:
        return lacking
    if not isinstance(protocol.loop, asyncio.AbstractEventLoop):
        return ["loop"]
    return [f"transport.{name}" for name in missing_methods(protocol.transport)]


def is_complete(protocol: Any) -> bool:
    """Whether uvicorn has given the connection to its WebSocket protocol.

    It does that last. Eager tasks run an application before.
    """
    return protocol.transport.get_protocol() is protocol


def fits(protocol: Any, lacking: list[str]) -> bool:
    """Whether a class of ours that uvicorn was started with fits its base; warn once if not.

    Args:
        protocol: An object of that class.
        lacking: What its inside lacks.
    """
    cls: Any = type(protocol)
    [base] = cls.__bases__
    run_asgi = getattr(base, "run_asgi", None)  # which the class of ours overrides
    if not inspect.iscoroutinefunction(run_asgi) or len(inspect.signature(run_asgi).parameters) > 1:
        lacking = [*lacking, "run_asgi"]
    if lacking:
        _warn(cls, ", ".join(lacking))
    return not lacking


def declare(protocol: Any, join: Callable[[Any], Endpoint], own_send: Send) -> Send:
    """Declare the extension in a connection's scope; it is joined once a function is called.

    Args:
        protocol: An object of a class of ours.
        join: Joins it with an endpoint.
        own_send: The protocol's `send`.

    Returns:
        The `send` for the application.
    """
    endpoints: list[Endpoint] = []
    answers: list[Event] = []  # to the handshake, from before the endpoint

    def function(name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if not endpoints:
                endpoints.append(join(protocol))
                if answers:
                    endpoints[0].accepted()
            return getattr(endpoints[0], name)(*args)

        return call

    async def send(event: Event) -> None:
        if endpoints and event["type"] != "websocket.send":
            await endpoints[0].send(own_send, event)
        else:
            await own_send(event)
            if not answers:
                answers.append(event)

    extension = {name: function(name) for name in Extension.__annotations__}
    protocol.scope["extensions"][EXTENSION] = extension
    return send


def announce_exit(protocol: Any) -> bool:
    """Tell of the server's exit; return whether somebody else closes the connection."""
    transport = protocol.transport
    return transport.on_exit is not None and bool(transport.announce_exit(_grace(protocol.config)))


def _grace(config: Any) -> float:
    """Return for how many seconds uvicorn leaves open connections alone when it exits.

    By itself it waits for them without bound. gunicorn kills a worker that does, or that does not
    notify it.
    """
    own = config.timeout_graceful_shutdown
    grace: float = inf if own is None else own
    worker: Any = getattr(config.callback_notify, "__self__", None)
    if hasattr(worker, "cfg"):
        worker.notify()  # uvicorn itself does no more
        killed = min(worker.cfg.graceful_timeout, worker.cfg.timeout or inf)  # 0 is for never
        grace = max(0.0, min(grace, killed - KILLED_EARLY))
    return grace


@functools.cache
def _warn(cls: Any, lacking: str) -> None:
    logger.warning(
        "keepalive is off: --ws %s:%s works as uvicorn's own class, for uvicorn %s is not as "
        "this release of asgi-keepalive knows it (%s). Upgrade asgi-keepalive, or uvicorn if it "
        "is older than that",
        cls.__module__,
        cls.__qualname__,
        uvicorn.__version__,
        lacking,
    )
