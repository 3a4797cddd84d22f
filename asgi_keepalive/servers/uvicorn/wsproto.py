"""uvicorn's `wsproto` protocol."""

from __future__ import annotations

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.events import CloseConnection, Ping, Pong

from ..deflate import keep_messages_whole
from .reading import TOUCHED, reading_ahead

__all__ = ["TOUCHED", "KeepaliveProtocol"]


class KeepaliveProtocol(reading_ahead(WSProtocol)):  # type: ignore[misc]
    """Serves the `websocket.ping` extension, which `docs/extension.md` specifies."""

    touched = TOUCHED

    async def accepted(self) -> None:
        keep_messages_whole(self.conn.connection)

    def handle_ping(self, event: Ping) -> None:
        if self.is_established():
            self.answer_ping(self.conn.send(event.response()))

    def is_between_frames(self) -> bool:
        """Whether the library's parser waits for the first byte of a frame."""
        decoder = self.conn.connection._proto._frame_decoder
        return decoder.header is None and not decoder.buffer

    def handle_pong(self, event: Pong) -> None:
        self.extension.pong(bytes(event.payload))
        super().handle_pong(event)

    def write_close(self, code: int, reason: str) -> None:
        self.transport.write(self.conn.send(CloseConnection(code=code, reason=reason)))
        self.failed(code, reason)
