"""uvicorn's `wsproto` protocol."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from ...endpoint.inflate import Inflater
from ...endpoint.libraries import inflater_of_wsproto, unparsed_by_wsproto, wsproto_is_known
from ...extension import Receive, Send, Server
from . import joining, newer
from .newer import TOUCHED, NewerAdapter

__all__ = ["TOUCHED", "KeepaliveProtocol", "join"]


class WSProtoAdapter(NewerAdapter):
    """A connection of this protocol."""

    __slots__ = ()

    def unparsed(self) -> bytes | None:
        # The connection is made when the application accepts.
        return unparsed_by_wsproto(self.protocol.conn.connection) if self.is_open() else None

    def inflater(self) -> Inflater | None:
        return inflater_of_wsproto(self.protocol.conn.connection)


def _unexpected(protocol: Any) -> list[str]:
    return joining.unexpected(protocol, TOUCHED) or ["conn"] * (not wsproto_is_known())


def join(protocol: Any, receive: Receive, send: Send) -> Server | None:
    """Join a connection with an endpoint, if its inside is what is expected."""
    # A subclass may have changed anything.
    if type(protocol) is not WSProtocol or _unexpected(protocol):
        return None
    return newer.join(WSProtoAdapter, protocol, receive, send)


class KeepaliveProtocol(WSProtocol):
    """Declares the `websocket.ping` extension, which `docs/extension.md` specifies."""

    def connection_made(self, transport: Any) -> None:
        # asyncio's name, so it is there in any uvicorn: whatever else is not is told here.
        super().connection_made(transport)
        self.keepalive_fits = joining.fits(self, _unexpected(self))

    async def run_asgi(self) -> None:
        # The scope is complete, and the application has not begun.
        if self.keepalive_fits:
            await newer.declare(WSProtoAdapter, self)
        await super().run_asgi()
