"""granian: written in Rust, it keeps Ping and Pong frames to itself."""

from __future__ import annotations

from typing import Any

from ..extension import Receive, Send

ADVICE = (
    "granian sends no Pings for applications and shows them no Pongs. Run the application on "
    "uvicorn, hypercorn or daphne"
)


def attach(protocol: Any, receive: Receive, send: Send) -> str:
    """Decline, whatever the protocol is."""
    return ADVICE
