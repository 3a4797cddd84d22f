"""Taking a connection from the library of a server that has made the opening handshake.

The libraries may have read what follows the handshake, and have agreed on compression. Nothing of
their insides is documented, so two functions tell whether they are what is expected here.
"""

from __future__ import annotations

import functools
from typing import Any

from .inflate import Inflater

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

DEFLATE = "permessage-deflate"


# websockets


def unparsed_by_websockets(protocol: Any) -> bytes | None:
    """Return what a `ServerProtocol` has not parsed; `None` in the midst of a frame."""
    # Its parser is a generator. It waits in `at_eof` for the first byte of a frame.
    waits_in = protocol.parser
    while waits_in.gi_yieldfrom is not None:
        waits_in = waits_in.gi_yieldfrom
    return b"" if waits_in.__name__ == "at_eof" else None


def inflater_of_websockets(protocol: Any) -> Inflater | None:
    """Return what inflates on a `ServerProtocol`, if that was agreed."""
    for extension in protocol.extensions:
        if extension.name == DEFLATE:
            return Inflater(
                extension.remote_max_window_bits,
                extension.remote_no_context_takeover,
                getattr(extension, "decoder", None),
            )
    return None


@functools.cache
def websockets_is_known() -> bool:
    """Whether the inside of this library is what is expected."""
    try:
        from websockets.server import ServerProtocol

        protocol = ServerProtocol()
        protocol.receive_data(REQUEST)
        return unparsed_by_websockets(protocol) == b"" and protocol.extensions == []
    except Exception:
        return False


# wsproto


def unparsed_by_wsproto(connection: Any) -> bytes | None:
    """Return what a `Connection` has not parsed; `None` in the midst of a frame or message."""
    frames = connection._proto
    decoder = frames._frame_decoder
    if decoder.header is not None or frames._message_decoder.opcode is not None:
        return None
    unparsed = bytes(decoder.buffer.buffer)
    decoder.buffer.buffer.clear()
    return unparsed


def inflater_of_wsproto(connection: Any) -> Inflater | None:
    """Return what inflates on a `Connection`, if that was agreed."""
    for extension in connection._proto.extensions:
        if extension.name == DEFLATE:
            return Inflater(
                extension.client_max_window_bits,
                extension.client_no_context_takeover,
                extension._decompressor,
            )
    return None


@functools.cache
def wsproto_is_known() -> bool:
    """Whether the inside of this library is what is expected."""
    try:
        from wsproto.connection import Connection, ConnectionType
        from wsproto.extensions import PerMessageDeflate

        deflate = PerMessageDeflate()
        deflate.accept(DEFLATE)
        connection = Connection(ConnectionType.SERVER, [deflate], b"\x81")
        return (
            inflater_of_wsproto(connection) is not None
            and unparsed_by_wsproto(connection) == b"\x81"
        )
    except Exception:
        return False
