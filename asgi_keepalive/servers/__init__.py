"""Finding the server of a connection, and joining it with the endpoint: one file a server.

Each file or package is named after the server's own package, is imported only when that server is
the one running, and has a function `attach(owner, receive, send)`. `owner` is something that the
server's `send` or `receive` is made of. It returns a `Server`; or a sentence that tells the user
what to do, if that server gives no access to its frames; or `None` if `owner` is not what it knows.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable
from typing import Any

from ..extension import Receive, Scope, Send, Server, declared
from .advice import SERVERS, Advice, advise
from .origins import modules, owners

Attach = Callable[[Any, Receive, Send], Server | str | None]

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
    declined = ""
    for owner in owners(send, receive):
        packages = {module.partition(".")[0] for module in modules(owner)}
        for package in packages & ADAPTERS:
            attached = _attach(package, owner, receive, send)
            if isinstance(attached, Server):
                return attached
            declined = declined or attached or ""
    return advise(receive, send, declined)


def _attach(package: str, owner: Any, receive: Receive, send: Send) -> Server | str | None:
    """Let the adapter of a server join a connection with an endpoint, if it can."""
    # Nothing that it uses of a server's inside is documented. Whatever that has become, the
    # application shall run.
    try:
        return _adapter(package)(owner, receive, send)
    except Exception:
        logger.debug("%s is not as expected", package, exc_info=True)
        return None


@functools.cache
def _adapter(package: str) -> Attach:
    """Return `attach` of the module here that is named after a server's package."""
    try:
        attach: Attach = importlib.import_module(f"{__name__}.{package}").attach
    except Exception:  # something that it imports is not where it was, and will not be
        logger.debug("%s is not as expected", package, exc_info=True)
        return lambda owner, receive, send: None
    return attach
