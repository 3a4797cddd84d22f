"""Finding the server of a connection, and joining it with the endpoint: one file a server.

Each file or package is named after the server's own package, is imported only when that server is
the one running, and has a function `attach(owner, receive, send)`. `owner` is something that the
server's `send` is made of. It returns a `Server`; or a sentence that tells the user what to do, if
that server gives no access to its frames; or `None` if `owner` is not what it knows. Its function
`own(owner)` returns what is known of a connection before anything is done to it.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Iterator
from typing import Any, Protocol, cast

from ..extension import Receive, Scope, Send, Server, declared
from .advice import SERVERS, Advice, advise
from .between import Own, held_by, leads
from .origins import makes, packages

ADAPTERS = {server for server, known in SERVERS.items() if known.oldest}
"""The servers that have an adapter here."""

logger = logging.getLogger("asgi_keepalive")


def find(scope: Scope, receive: Receive, send: Send) -> Server | Advice:
    """Return the server of a connection, or else why nothing can be had and what the user can do.

    A server that declares the extension itself is left alone by the adapters here.
    """
    extension = declared(scope)
    if extension is not None:
        return Server(receive, send, extension, send)
    declined, led_to = "", None
    for package, owner in _connections(scope, receive, send):
        attached = _attach(package, owner, receive, send)
        if isinstance(attached, Server):
            return attached
        declined, led_to = declined or attached or "", owner
    if led_to is not None:
        return advise(led_to, led_to, declined)
    return advise(receive, send, declined)


def _connections(scope: Scope, receive: Receive, send: Send) -> Iterator[tuple[str, Any]]:
    """Yield what may be the connection of an application, with its server's package."""
    for owner in held_by(send, ADAPTERS):
        for package in packages(owner) & ADAPTERS:
            if makes(owner, send) or _leads(package, owner, scope, receive):
                yield package, owner


def _leads(package: str, owner: Any, scope: Scope, receive: Receive) -> bool:
    """Whether something is a connection of a server's, and this application is its application."""
    try:
        own = _adapter(package).own(owner)
        return own is not None and leads(own, scope, receive)
    except Exception:
        logger.debug("%s is not as expected", package, exc_info=True)
        return False


def _attach(package: str, owner: Any, receive: Receive, send: Send) -> Server | str | None:
    """Let the adapter of a server join a connection with an endpoint, if it can."""
    # Nothing that it uses of a server's inside is documented. Whatever that has become, the
    # application shall run.
    try:
        return _adapter(package).attach(owner, receive, send)
    except Exception:
        logger.debug("%s is not as expected", package, exc_info=True)
        return None


class Adapter(Protocol):
    """The module here that is named after a server's package."""

    def attach(self, owner: Any, receive: Receive, send: Send, /) -> Server | str | None: ...
    def own(self, owner: Any, /) -> Own | None: ...


class _Unknown:
    """Stands for a module that cannot be imported."""

    def attach(self, owner: Any, receive: Receive, send: Send) -> None: ...
    def own(self, owner: Any) -> None: ...


@functools.cache
def _adapter(package: str) -> Adapter:
    """Return the module here that is named after a server's package."""
    try:
        adapter: Any = importlib.import_module(f"{__name__}.{package}")
    except Exception:  # something that it imports is not where it was, and will not be
        logger.debug("%s is not as expected", package, exc_info=True)
        return _Unknown()
    return cast(Adapter, adapter)
