"""hypercorn: its asyncio and uvloop workers, HTTP/1.1."""

from __future__ import annotations

import functools
from asyncio import StreamReader, StreamWriter
from typing import Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream

from ...endpoint.endpoint import Endpoint, Functions
from ...endpoint.libraries import wsproto_is_known
from ...endpoint.queue import is_known
from ...endpoint.transports import missing_methods
from ...extension import Receive, Send, Server
from ..between import Own
from ..origins import is_method_of
from .http1 import HTTP1Adapter

TOUCHED = {
    WSStream: ("_send_wsproto_event", "app_put", "app_send", "closed", "config", "send", "state"),
    H11Protocol: ("send",),
    TCPServer: ("_close", "config", "loop", "reader", "writer"),
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
    """Join a connection with an endpoint.

    Args:
        stream: What hypercorn's `send` is bound to.
        receive: Where the application's events come from.
        send: Where the application's own events go.

    Returns:
        The server's side; why there is none over HTTP/2 and HTTP/3, nor on trio; or `None` if the
        inside is not what is expected.
    """
    http: Any = getattr(getattr(stream, "send", None), "__self__", None)
    tcp: Any = getattr(getattr(http, "send", None), "__self__", None)
    if type(stream) is WSStream and type(tcp).__module__.startswith("hypercorn.trio"):
        return TRIO
    if type(stream) is WSStream and type(http).__name__ in {"H2Protocol", "H3Protocol"}:
        return HTTP_2
    parts = stream, http, tcp, getattr(tcp, "reader", None), getattr(tcp, "writer", None)
    for part, (cls, names) in zip(parts, TOUCHED.items(), strict=True):
        if type(part) is not cls or not all(hasattr(part, name) for name in names):
            return None
    if "connection" not in WSStream._accept.__code__.co_names:  # there is none before
        return None
    if missing_methods(tcp.writer.transport) or not wsproto_is_known():
        return None
    queue: Any = getattr(stream.app_put, "__self__", None)
    if not is_known(queue):
        return None
    is_direct = is_method_of(queue, receive) and is_method_of(stream, send)
    adapter = HTTP1Adapter(stream, tcp)
    endpoint = Endpoint(adapter)
    if adapter.transport.is_closing():
        endpoint.lost()  # which the server has been told, and nobody will be told again
    return Server(
        # What stands before the server's own `receive` may have to see the events.
        receive=adapter.queue.get if is_direct else receive,
        send=functools.partial(endpoint.send, functools.partial(adapter.pass_on, send)),
        extension=Functions(endpoint),
        is_accepted=adapter.is_open(),
        send_message=functools.partial(adapter.send_message, send),
        releases_calls=is_direct,
    )


def own(owner: Any) -> Own | None:
    """Return a connection as hypercorn made it; `None` if this is not one."""
    if type(owner) is not WSStream:
        return None
    stream: Any = owner
    return Own(
        loop=stream.send.__self__.send.__self__.loop,
        scope=stream.scope,
        receive=stream.app_put.__self__,
        is_accepted=stream.state is not ASGIWebsocketState.HANDSHAKE,
    )
