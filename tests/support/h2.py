"""An HTTP/2 client for WebSocket streams (RFC 8441), made of h2 and a plain socket.

It can misbehave.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes

from .client import PING, PONG, frame, parse

WINDOW = 65_535
"""The window of a stream and of a connection, until somebody changes it (RFC 9113 6.9.2)."""


class HTTP2:
    """Connects; every stream is up to the test.

    Args:
        port: Of the server.
        receive_buffer: Bytes that the kernel may take in while the client reads nothing.
        tls: What verifies the server's certificate, for `https`; otherwise it is `h2c`.
        window: The initial window of each stream, in bytes.

    Attributes:
        is_over: Whether the server has closed the connection.
        streams: By their identifiers.
    """

    def __init__(
        self,
        port: int,
        *,
        receive_buffer: int | None = None,
        tls: ssl.SSLContext | None = None,
        window: int = WINDOW,
    ) -> None:
        raw = socket.socket()
        raw.settimeout(10)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.connect(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = raw.getsockname()[1]
        self.scheme = "https" if tls else "http"
        self.socket = (
            raw if tls is None else _with_alpn(tls).wrap_socket(raw, server_hostname="localhost")
        )
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self.connection.initiate_connection()
        self.connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.is_over = False
        self.streams: dict[int, Stream] = {}
        self.flush()
        self.until(lambda: self.connection.remote_settings.enable_connect_protocol)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def request(
        self,
        method: str,
        path: str,
        *extra: tuple[str, str],
        authority: str = "localhost",
        end: bool = False,
    ) -> Stream:
        """Begin a stream."""
        stream = Stream(self, self.connection.get_next_available_stream_id())
        self.streams[stream.id] = stream
        headers = [
            (":method", method),
            (":scheme", self.scheme),
            (":authority", authority),
            (":path", path),
            *extra,
        ]
        self.connection.send_headers(stream.id, headers, end_stream=end)
        self.flush()
        return stream

    def connect(self, path: str = "/", *extra: tuple[str, str]) -> Stream:
        """Begin a handshake (RFC 8441 5)."""
        websocket = (":protocol", "websocket"), ("sec-websocket-version", "13")
        return self.request("CONNECT", path, *websocket, *extra)

    def open(self, path: str = "/", *extra: tuple[str, str]) -> Stream:
        """Open a WebSocket connection."""
        stream = self.connect(path, *extra)
        assert stream.response()[":status"] == "200", stream.headers
        return stream

    def flush(self) -> None:
        """Send what h2 has ready."""
        with suppress(ConnectionError):  # which the next read notices
            self.socket.sendall(self.connection.data_to_send())

    def read(self) -> None:
        """Take what comes next, and tell the streams; acknowledge SETTINGS and PINGs."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self._take(data)

    def read_slowly(self, seconds: float) -> None:
        """Read for so long, half a megabyte in a second; answer none of it before the end."""
        data = b""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            data += self.socket.recv(16_384)
            time.sleep(0.03)
        self._take(data)

    def _take(self, data: bytes) -> None:
        self.is_over = not data
        for event in self.connection.receive_data(data) if data else []:
            stream = self.streams.get(getattr(event, "stream_id", None) or 0)
            if stream is not None:
                stream.take(event)
        self.flush()

    def until(self, condition: Callable[[], Any], timeout: float = 10) -> None:
        """Read until the condition holds.

        Raises:
            EOFError: The server has closed the connection.
            TimeoutError: Nothing more has come.
        """
        self.for_at_most(condition, timeout)
        if not condition():
            raise EOFError if self.is_over else TimeoutError

    def for_at_most(self, condition: Callable[[], Any], seconds: float) -> None:
        """Read until the condition holds, or that long."""
        end = time.monotonic() + seconds
        while not condition() and not self.is_over and (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                self.read()
            except TimeoutError:
                return
            finally:
                self.socket.settimeout(10)


def _with_alpn(tls: ssl.SSLContext) -> ssl.SSLContext:
    """Return a context that trusts the same, for HTTP/2 only."""
    context = ssl.create_default_context(cadata=b"".join(tls.get_ca_certs(binary_form=True)))
    context.set_alpn_protocols(["h2"])
    return context


class Stream:
    """One stream; its WebSocket frames go and come at once, unless the test withholds its window.

    Attributes:
        answers: Whether it answers Pings while it waits for something else.
        ended: Whether the server has ended its side.
        headers: Of the response.
        reads: Whether what comes is given back to the window of the stream.
        reset: The error code with which the server has reset it.
        timeout: Seconds to wait for a frame.
    """

    def __init__(self, client: HTTP2, identifier: int) -> None:
        self.answers = False
        self.buffer = b""
        self.ended = False
        self.headers: dict[str, str] = {}
        self.id = identifier
        self.reads = True
        self.reset: int | None = None
        self.timeout = 10.0
        self._client = client

    # What comes.

    def take(self, event: Any) -> None:
        """Take an event of h2's."""
        connection = self._client.connection
        if isinstance(event, h2.events.ResponseReceived):
            self.headers = {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            self.buffer += event.data
            if self.reads:
                connection.acknowledge_received_data(event.flow_controlled_length, self.id)
            elif event.flow_controlled_length:
                connection.increment_flow_control_window(event.flow_controlled_length)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.reset = int(event.error_code)
        if self.answers:
            self.answer()

    def is_over(self) -> bool:
        """Whether nothing more can come."""
        return self.ended or self.reset is not None

    def answer(self) -> None:
        """Answer the Ping that has come next, if one has."""
        while (found := parse(self.buffer)) is not None and found[0] == PING:
            self.buffer = found[2]
            self.send(PONG, found[1])

    def response(self) -> dict[str, str]:
        """Return the headers of the response."""
        self._client.until(lambda: self.headers or self.is_over())
        return self.headers

    def receive(self) -> tuple[int, bytes]:
        """Return the opcode and payload of the next frame.

        Raises:
            EOFError: The server has ended or reset the stream, or closed the connection.
            TimeoutError: None has come in time.
        """
        self._client.until(lambda: parse(self.buffer) or self.is_over(), self.timeout)
        found = parse(self.buffer)
        if found is None:
            raise EOFError
        self.buffer = found[2]
        return found[:2]

    def expect(self, opcode: int) -> bytes:
        """Return the payload of the next frame, which must have this opcode."""
        found, payload = self.receive()
        assert found == opcode, (found, payload)
        return payload

    def until_over(self, timeout: float = 10) -> list[tuple[int, bytes]]:
        """Read until the server ends or resets the stream; return the frames that came."""
        self._client.until(self.is_over, timeout)
        frames = []
        while (found := parse(self.buffer)) is not None:
            frames.append(found[:2])
            self.buffer = found[2]
        return frames

    # What goes.

    def send(self, opcode: int, payload: bytes = b"") -> None:
        """Send a frame."""
        self.send_data(frame(opcode, payload))

    def send_data(self, data: bytes, *, end: bool = False) -> None:
        """Send bytes, as far as the windows have room; wait for more room."""
        connection = self._client.connection
        while data:
            room = min(
                connection.local_flow_control_window(self.id), connection.max_outbound_frame_size
            )
            if not room:
                self._client.read()
                continue
            connection.send_data(self.id, data[:room], end_stream=end and room >= len(data))
            data = data[room:]
            self._client.flush()

    def end(self) -> None:
        """End the client's side."""
        self._client.connection.end_stream(self.id)
        self._client.flush()

    def cancel(self) -> None:
        """Reset the stream."""
        self._client.connection.reset_stream(self.id, 8)
        self._client.flush()
