"""uvicorn's protocols without a network, as its HTTP protocol leaves them."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState


class Transport(asyncio.Transport):
    """Notes what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 50000)})
        self.written = b""
        self.protocol: Any = None

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self.protocol
        return protocol


class Bare:
    """A transport that can do only what uvicorn itself needs, or its tests."""

    def __init__(self) -> None:
        transport = Transport()
        for name in "write", "close", "is_closing", "pause_reading", "resume_reading":
            setattr(self, name, getattr(transport, name))
        self.get_extra_info = transport.get_extra_info
        self.set_write_buffer_limits = transport.set_write_buffer_limits


async def unused(*args: Any) -> Any:
    raise AssertionError("never called")


async def never_run(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("never called")


def connected(cls: Any, app: Any = never_run, *, to: Any = None) -> tuple[Any, Any]:
    """Return a protocol of uvicorn's, and its transport."""
    config = Config(app, log_config=None, lifespan="off")
    config.load()
    protocol = cls(config=config, server_state=ServerState(), app_state={})
    transport = to or Transport()
    transport.protocol = protocol
    protocol.connection_made(transport)
    return protocol, transport


PORTS = itertools.count(50000)


def connection(cls: Any = WebSocketsSansIOProtocol) -> Any:
    """Return a connection of uvicorn's that has read a request."""
    protocol, _ = connected(cls)
    protocol.scope = {
        "type": "websocket",
        "headers": [(b"host", b"localhost")],
        "extensions": {"websocket.http.response": {}},
        "client": ("192.0.2.1", next(PORTS)),
    }
    return protocol
