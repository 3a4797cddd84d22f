"""WebSocket keepalive for ASGI applications: Pings, timeouts and latency."""

from .exceptions import (
    ConnectionClosed,
    KeepaliveError,
    KeepaliveTimeout,
    KeepaliveUnsupported,
    PingTimeout,
)
from .latency import Statistics
from .middleware import KeepaliveMiddleware
from .state import Keepalive, get_keepalive

__all__ = [
    "ConnectionClosed",
    "Keepalive",
    "KeepaliveError",
    "KeepaliveMiddleware",
    "KeepaliveTimeout",
    "KeepaliveUnsupported",
    "PingTimeout",
    "Statistics",
    "get_keepalive",
]
