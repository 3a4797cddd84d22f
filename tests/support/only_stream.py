"""A client whose connection over HTTP/2 has one WebSocket, used as one over HTTP/1.1 is."""

from __future__ import annotations

import ssl
from typing import Self

from .h2 import HTTP2, WINDOW


class OnlyStream:
    """The only stream of a connection, used as a `Client` is.

    Attributes:
        socket: Stands for the socket of a `Client`.
    """

    def __init__(
        self,
        port: int,
        *,
        path: str = "/",
        receive_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        window = WINDOW if receive_buffer is None else 2**30
        self._client = HTTP2(port, receive_buffer=receive_buffer, tls=tls, window=window)
        if window > WINDOW:  # nothing but TCP is to hold up what is sent
            self._client.connection.increment_flow_control_window(window)
        self.port = self._client.port
        self.socket = self
        self._stream = self._client.connect(path)
        self.expect = self._stream.expect
        self.receive = self._stream.receive
        self.send = self._stream.send
        self.sendall = self._stream.send_data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def open(self) -> Self:
        """Finish the handshake."""
        self._stream.response()
        return self

    def settimeout(self, seconds: float) -> None:
        self._stream.timeout = seconds

    def until_end(self) -> list[tuple[int, bytes]]:
        """Read until the server ends the stream; return the frames that came."""
        return self._stream.until_over(self._stream.timeout)
