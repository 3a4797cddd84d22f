"""WebSocket keepalive for ASGI applications: Pings, timeouts and latency."""

from .exceptions import (
    ConnectionClosed,
    KeepaliveError,
    KeepaliveUnsupported,
    PingTimeout,
)
from .latency import Statistics
from .middleware import KeepaliveMiddleware
from .observers import Observer
from .state import Keepalive, KeepaliveTimeout, get_keepalive
from .verdict import Verdict

__all__ = [
    "ConnectionClosed",
    "Keepalive",
    "KeepaliveError",
    "KeepaliveMiddleware",
    "KeepaliveTimeout",
    "KeepaliveUnsupported",
    "Observer",
    "PingTimeout",
    "Statistics",
    "Verdict",
    "get_keepalive",
]
