"""The transports that can be taken over."""

from __future__ import annotations

import asyncio
from typing import Any

CALLED = (
    "abort",
    "can_write_eof",
    "close",
    "get_extra_info",
    "get_protocol",
    "get_write_buffer_size",
    "is_closing",
    "pause_reading",
    "resume_reading",
    "set_protocol",
    "set_write_buffer_limits",
    "write",
)
"""The methods of every transport that this package calls."""


def missing_methods(transport: Any) -> list[str]:
    """Return those that a transport lacks, as some do that servers are tested with."""
    not_implemented = vars(asyncio.WriteTransport) | vars(asyncio.ReadTransport)
    methods = {name: getattr(transport, name, None) for name in CALLED}
    return [
        name
        for name, method in methods.items()
        if not callable(method) or getattr(method, "__func__", method) is not_implemented.get(name)
    ]
