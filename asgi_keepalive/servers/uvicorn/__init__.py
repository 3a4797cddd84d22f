"""uvicorn: its three WebSocket protocols, each extended in the module here that is named after it.

A connection is extended in one of two ways, by the same code. With no flags, `attach` finds the
protocol object from the bound `send` or `receive` and gives it the class `KeepaliveProtocol`.
Where something between server and middleware hides both, uvicorn can be started with that class:
`--ws asgi_keepalive.servers.uvicorn.sansio:KeepaliveProtocol`; it then declares the extension in
the scope. (Changing an object's class needs a class with exactly one base, the object's own.)
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from types import ModuleType
from typing import Any

from ...extension import Receive, Send, Server
from . import shared

MODULES = {
    "uvicorn.protocols.websockets.websockets_sansio_impl": "sansio",
    "uvicorn.protocols.websockets.wsproto_impl": "wsproto",
    "uvicorn.protocols.websockets.websockets_impl": "legacy",
}
"""The module here for each module there that defines a protocol."""


def attach(protocol: Any, receive: Receive, send: Send) -> Server | None:
    """Make a connection speak the extension.

    Args:
        protocol: What uvicorn's `send` or `receive` is bound to.
        receive: Where the application's events come from.
        send: Where the application's own events go.

    Returns:
        What speaks the extension, or `None` if the protocol is not one of uvicorn's three, or its
        inside or its surroundings are not what is expected.
    """
    own_class = type(protocol)
    module = _module(own_class.__module__)
    if module is None:
        return None
    cls = module.KeepaliveProtocol
    if own_class is cls.original:
        if shared.extend(protocol, cls):
            return None
    elif own_class is not cls:
        return None  # a subclass may have changed anything
    extension = protocol.extension
    is_direct = all(getattr(call, "__self__", None) is protocol for call in (receive, send))
    own = protocol.own_receive() if is_direct else None
    return Server(
        receive=own or receive,
        send=functools.partial(extension.send, functools.partial(protocol.pass_on, send)),
        send_other=send,
        ping=extension.ping,
        fail=extension.fail,
        traffic=extension.traffic,
        ends_calls=own is not None,
        is_closing=protocol.transport.is_closing,
    )


@functools.cache
def _module(defined_in: str) -> ModuleType | None:
    """Return the module here that extends, or has extended, a class defined in another."""
    ours = {f"{__name__}.{name}" for name in MODULES.values()}
    name = defined_in if defined_in in ours else f"{__name__}.{MODULES.get(defined_in)}"
    if name in ours:
        with contextlib.suppress(ImportError):  # of something that is not where it was
            return importlib.import_module(name)
    return None
