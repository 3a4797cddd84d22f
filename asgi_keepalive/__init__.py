"""WebSocket keepalive for ASGI applications: Pings, timeouts and latency."""

import typing

from .drain import Draining
from .exceptions import (
    ConnectionClosed,
    KeepaliveError,
    KeepaliveUnsupported,
    PingTimeout,
)
from .latency import Statistics
from .middleware import KeepaliveMiddleware, drain
from .observers import Observer
from .scopes import get_keepalive
from .state import Keepalive, KeepaliveTimeout
from .verdict import Verdict

__all__ = [
    "ConnectionClosed",
    "Draining",
    "Keepalive",
    "KeepaliveError",
    "KeepaliveMiddleware",
    "KeepaliveTimeout",
    "KeepaliveUnsupported",
    "Observer",
    "PingTimeout",
    "Statistics",
    "Verdict",
    "drain",
    "get_keepalive",
]

if typing.TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """Return `__version__`; the package's metadata is read only if somebody asks for that."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version

        return version("asgi-keepalive")
