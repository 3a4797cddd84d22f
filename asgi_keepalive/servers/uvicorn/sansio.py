"""uvicorn's `websockets-sansio` protocol, the default."""

from __future__ import annotations

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ...endpoint.inflate import Inflater
from ...endpoint.libraries import (
    inflater_of_websockets,
    unparsed_by_websockets,
    websockets_is_known,
)
from ...extension import Receive, Send, Server
from . import joining, newer
from .newer import NewerAdapter

TOUCHED = (*newer.TOUCHED, "frames")
"""The undocumented attributes on which this module rests."""


class SansIOAdapter(NewerAdapter):
    """A connection of this protocol."""

    __slots__ = ()

    pongs_after_close = True

    @property
    def logger(self) -> logging.Logger:
        logger: logging.Logger = self.protocol.conn.logger
        return logger

    def unparsed(self) -> bytes | None:
        if not self.is_open() or self.protocol.frames:  # those of a message
            return None
        return unparsed_by_websockets(self.protocol.conn)

    def inflater(self) -> Inflater | None:
        return inflater_of_websockets(self.protocol.conn)


def _unexpected(protocol: Any) -> list[str]:
    return joining.unexpected(protocol, TOUCHED) or ["conn"] * (not websockets_is_known())


def join(protocol: Any, receive: Receive, send: Send) -> Server | None:
    """Join a connection with an endpoint, if its inside is what is expected."""
    # A subclass may have changed anything.
    if type(protocol) is not WebSocketsSansIOProtocol or _unexpected(protocol):
        return None
    return newer.join(SansIOAdapter, protocol, receive, send)


class KeepaliveProtocol(WebSocketsSansIOProtocol):
    """Declares the `websocket.ping` extension, which `docs/extension.md` specifies."""

    def connection_made(self, transport: Any) -> None:
        # asyncio's name, so it is there in any uvicorn: whatever else is not is told here.
        super().connection_made(transport)
        self.keepalive_fits = joining.fits(self, _unexpected(self))

    async def run_asgi(self) -> None:
        # The scope is complete, and the application has not begun.
        if self.keepalive_fits:
            await newer.declare(SansIOAdapter, self)
        await super().run_asgi()
