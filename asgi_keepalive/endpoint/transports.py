"""The transports that can be taken over, and what they may take ahead of what they can send."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from . import kernel

OVER_TLS = 16 * 1024
"""So many bytes a transport of TLS may buffer before `send` has to wait, by itself 512 KiB.

The transport beneath has its own 64 KiB, as where there is no TLS.
"""

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


def bound_unsent(transport: Any) -> None:
    """Let a transport, and the kernel, take little ahead of what they can send.

    A Ping waits behind all of that.
    """
    kernel.bound_unsent(transport.get_extra_info("socket"))
    if transport.get_extra_info("sslcontext") is not None:
        transport.set_write_buffer_limits(OVER_TLS)


def buffered(transport: Any) -> int:
    """Return how many written bytes a transport holds; of TLS with those of TCP beneath it."""
    size: int = transport.get_write_buffer_size()
    beneath = None if transport.can_write_eof() else _beneath(transport)
    return size if beneath is None else size + beneath.get_write_buffer_size()


def _beneath(transport: Any) -> Any:
    """Return the transport of TCP beneath one of TLS; `None` if it is not to be found."""
    protocol = getattr(transport, "_ssl_protocol", None)
    if protocol is not None:
        return getattr(protocol, "_transport", None)
    # uvloop shows neither of them to Python, but it does to the garbage collector.
    for one in gc.get_referents(transport):
        if type(one).__module__ == "uvloop.loop" and type(one).__name__ == "SSLProtocol":
            for other in gc.get_referents(one):
                if other is not transport and hasattr(other, "get_write_buffer_size"):
                    return other
    return None
