"""uvicorn: its three WebSocket protocols, each joined by the module here that is named after it.

A connection is joined in one of two ways. With no flags, `attach` is given the protocol object to
which the application's `send` leads. Where it leads nowhere, uvicorn can be started with a class
from here: `--ws asgi_keepalive.servers.uvicorn.sansio:KeepaliveProtocol`. That declares the
extension in the scope, and joins a connection when it is taken over.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from typing import Any

from ...extension import Receive, Send, Server
from ..between import Own

MODULES = {
    "uvicorn.protocols.websockets.websockets_sansio_impl": "sansio",
    "uvicorn.protocols.websockets.wsproto_impl": "wsproto",
    "uvicorn.protocols.websockets.websockets_impl": "legacy",
}
"""The module here for each module there that defines a protocol."""


def attach(protocol: Any, receive: Receive, send: Send) -> Server | None:
    """Join a connection with an endpoint.

    Args:
        protocol: What uvicorn's `send` is bound to.
        receive: Where the application's events come from.
        send: Where the application's own events go.

    Returns:
        The server's side, or `None` if the protocol is not one of uvicorn's three, or its inside
        or its surroundings are not what is expected.
    """
    join = _join(type(protocol).__module__)
    return None if join is None else join(protocol, receive, send)


def own(protocol: Any) -> Own | None:
    """Return a connection as uvicorn made it; `None` if this is not one of its three protocols."""
    if type(protocol).__module__ not in MODULES:
        return None
    accepted = getattr(protocol, "handshake_started_event", None)  # of the legacy protocol
    is_accepted = protocol.handshake_complete if accepted is None else accepted.is_set()
    return Own(protocol.loop, protocol.scope, protocol, is_accepted)


@functools.cache
def _join(defined_in: str) -> Any:
    """Return the function here that joins a protocol defined in a module of uvicorn's."""
    name = MODULES.get(defined_in)
    if name is not None:
        with contextlib.suppress(ImportError):  # of something that is not where it was
            return importlib.import_module(f"{__name__}.{name}").join
    return None
