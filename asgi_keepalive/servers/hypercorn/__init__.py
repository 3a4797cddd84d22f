"""hypercorn: its asyncio and uvloop workers, HTTP/1.1."""

from __future__ import annotations

import functools
from asyncio import StreamReader, StreamWriter
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WebsocketBuffer, WSStream

from ...extension import Receive, Send, Server
from ..transports import missing_methods
from .protocol import KeepaliveProtocol

TOUCHED = {
    WSStream: (
        *("_send_wsproto_event", "app_put", "app_send", "buffer", "closed", "config"),
        *("send", "state"),
    ),
    H11Protocol: ("send",),
    TCPServer: ("_close", "config", "loop", "reader", "writer"),
    WebsocketBuffer: ("clear", "extend", "to_message"),
    StreamReader: ("_buffer", "_wakeup_waiter"),
    StreamWriter: ("_transport",),
}
"""The undocumented attributes on which this module rests."""

TRIO = (
    "hypercorn's trio worker gives no access to Ping and Pong frames. Run hypercorn with "
    "--worker-class asyncio or uvloop"
)
HTTP_2 = (
    "hypercorn gives no access to Ping and Pong frames over HTTP/2 and HTTP/3. Offer only "
    'HTTP/1.1: alpn_protocols = ["http/1.1"] and no quic_bind in its configuration'
)


def attach(stream: Any, receive: Receive, send: Send) -> Server | str | None:
    """Make a connection speak the extension.

    Args:
        stream: What hypercorn's `send` is bound to.
        receive: Where the application's events come from.
        send: Where the application's own events go.

    Returns:
        What speaks the extension; why there is none over HTTP/2 and HTTP/3, nor on trio; or `None`
        if the inside is not what is expected, or `receive` or `send` is not the stream's own.
    """
    http: Any = getattr(getattr(stream, "send", None), "__self__", None)
    tcp: Any = getattr(getattr(http, "send", None), "__self__", None)
    if type(stream) is WSStream and type(tcp).__module__.startswith("hypercorn.trio"):
        return TRIO
    if type(stream) is WSStream and type(http).__name__ in {"H2Protocol", "H3Protocol"}:
        return HTTP_2
    inner = [(stream, "buffer"), (tcp, "reader"), (tcp, "writer")]
    parts = stream, http, tcp, *(getattr(part, name, None) for part, name in inner)
    for part, (cls, names) in zip(parts, TOUCHED.items(), strict=True):
        if type(part) is not cls or not all(hasattr(part, name) for name in names):
            return None
    if "connection" not in WSStream._accept.__code__.co_names:  # there is none before
        return None
    if missing_methods(tcp.writer.transport):
        return None
    queue = getattr(stream.app_put, "__self__", None)
    if queue is None or getattr(receive, "__self__", None) is not queue or send != stream.app_send:
        return None
    protocol = KeepaliveProtocol(stream, tcp)
    return Server(
        receive=protocol.queue.get,
        send=functools.partial(protocol.extension.send, send),
        send_other=functools.partial(protocol.send_other, send),
        ping=protocol.extension.ping,
        fail=protocol.extension.fail,
        traffic=protocol.extension.traffic,
        ends_calls=True,
    )
