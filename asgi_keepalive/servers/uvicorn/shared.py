"""What the extended protocols of uvicorn have in common."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
from typing import Any

import uvicorn

from ...extension import EXTENSION, Event, Receive, Send
from ..speaking import Extension
from ..transports import missing_methods

TOUCHED = ("config", "loop", "ping_interval", "run_asgi", "shutdown", "transport")
"""The undocumented attributes of every protocol that this module rests on."""

logger = logging.getLogger("asgi_keepalive")


def extended(base: Any) -> Any:
    """Return a subclass of one of uvicorn's protocols that speaks the extension.

    Not a mixin: the class of a live object can only be changed along single inheritance.
    """

    class Extended(base):  # type: ignore[misc]
        original = base
        touched: tuple[str, ...]  # the undocumented attributes of that
        extension: Extension

        def extend(self) -> None:
            """Begin to speak the extension."""
            self.extension = Extension(self)

        def own_receive(self) -> Receive | None:
            """Return a `receive` that ends with the connection, as `send` then does, or `None`."""
            return None

        async def pass_on(self, send: Send, event: Event) -> None:
            """Pass an event of the application, but a message, to uvicorn's own `send`."""
            await send(event)

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            # uvicorn was started with this class: until it is known to fit it is the base.
            cls: Any = type(self)
            self.__class__ = base
            self.connection_made(transport)
            unexpected = extend(self, cls)
            if unexpected:
                _warn(cls, ", ".join(unexpected))

        async def run_asgi(self) -> None:
            with contextlib.suppress(AttributeError):  # it may not be where it was
                self.scope["extensions"][EXTENSION] = {"traffic": self.extension.traffic}
            await super().run_asgi()

        def eof_received(self) -> bool:
            super().eof_received()
            return self.extension.eof_received()

        def shutdown(self) -> None:
            # uvicorn's own would write another Close frame, which its libraries refuse.
            if not self.extension.shutdown():
                super().shutdown()

        def connection_lost(self, exc: Exception | None) -> None:
            self.extension.connection_lost()
            super().connection_lost(exc)

    return Extended


def extend(protocol: Any, cls: Any) -> list[str]:
    """Let one of uvicorn's protocols speak the extension, if its inside is what is expected.

    Args:
        protocol: An object of one of uvicorn's own classes.
        cls: What extends that class.

    Returns:
        What is not as expected; if that is anything, the protocol is as it was.
    """
    unexpected = [name for name in cls.touched if not hasattr(protocol, name)]
    unexpected = unexpected or _changed(cls, cls.original) or _lacking(protocol)
    if not unexpected:
        protocol.__class__ = cls
        protocol.extend()
    return unexpected


def _lacking(protocol: Any) -> list[str]:
    """Return what the surroundings of a protocol lack, as those of tests may."""
    if not isinstance(protocol.loop, asyncio.AbstractEventLoop):
        return ["loop"]
    return [f"transport.{name}" for name in missing_methods(protocol.transport)]


@functools.cache
def _changed(cls: type, base: type) -> list[str]:
    """Return the methods of a class that are called in another way than what overrides them."""
    ours: dict[str, Any] = {}
    for one in reversed(cls.__mro__[: cls.__mro__.index(base)]):
        ours |= vars(one)
    return [
        name
        for name, own in ours.items()
        if inspect.isfunction(own)
        and inspect.isfunction(theirs := getattr(base, name, None))
        and _parameters(theirs)[-1:] != [inspect.Parameter.VAR_KEYWORD]  # of what is around it
        and (_parameters(own), inspect.iscoroutinefunction(own))
        != (_parameters(theirs), inspect.iscoroutinefunction(theirs))
    ]


def _parameters(function: Any) -> list[object]:
    return [one.kind for one in inspect.signature(function).parameters.values()]


@functools.cache
def _warn(cls: type, unexpected: str) -> None:
    """Say once that a class works as its base does."""
    logger.warning(
        "keepalive is off: --ws %s:%s works as uvicorn's own class, for uvicorn %s is not as "
        "this release of asgi-keepalive knows it (%s). Upgrade asgi-keepalive, or uvicorn if it "
        "is older than that",
        cls.__module__,
        cls.__qualname__,
        uvicorn.__version__,
        unexpected,
    )
