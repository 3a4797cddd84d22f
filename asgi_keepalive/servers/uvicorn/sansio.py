"""uvicorn's `websockets-sansio` protocol, the default."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from .reading import TOUCHED, reading_ahead

__all__ = ["TOUCHED", "KeepaliveProtocol"]


class KeepaliveProtocol(reading_ahead(WebSocketsSansIOProtocol)):  # type: ignore[misc]
    """Serves the `websocket.ping` extension, which `docs/extension.md` specifies."""

    def handle_pong(self, event: Frame) -> None:
        self.extension.pong(bytes(event.data))
        super().handle_pong(event)

    def write_ping(self, payload: bytes) -> None:
        self.conn.send_ping(payload)
        self.transport.write(b"".join(self.conn.data_to_send()))

    def write_close(self, code: int, reason: str) -> None:
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.failed(code, reason)
