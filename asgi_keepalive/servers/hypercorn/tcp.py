"""The TCP transport of a connection of hypercorn's."""

from __future__ import annotations

import contextlib
import sys
from typing import Any


def detach(transport: Any) -> None:
    """Let the server exit while this connection is open.

    asyncio's `Server.wait_closed` waits, since Python 3.12, until all connections are gone, and
    hypercorn calls it before it begins to count its `graceful_timeout`.
    """
    tls = getattr(transport, "_ssl_protocol", None)
    transport = getattr(tls, "_transport", transport)
    server = getattr(transport, "_server", None)  # uvloop's have none, nor do they wait
    if server is not None:
        with contextlib.suppress(AttributeError, TypeError):  # of an asyncio that is different
            server._detach(*([transport] if sys.version_info >= (3, 13) else []))
            transport._server = None
