"""hypercorn: its asyncio and uvloop workers, HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import functools
from asyncio import StreamReader, StreamWriter
from typing import Any

from h2.connection import H2Connection
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import EventWrapper
from hypercorn.protocol.h2 import H2Protocol, StreamBuffer
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream

from ...endpoint.endpoint import Endpoint, Functions
from ...endpoint.libraries import wsproto_is_known
from ...endpoint.queue import is_known
from ...endpoint.transports import missing_methods
from ...extension import Receive, Send, Server
from ..between import Own
from ..inside import Touched, are_known
from ..origins import is_method_of
from .http1 import HTTP1Adapter
from .http2 import HTTP2Adapter
from .stream import StreamAdapter
from .streams import joined

TCP = ("_close", "config", "context", "loop", "reader", "writer")
STREAM = ("_send_wsproto_event", "app_put", "app_send", "closed", "config", "send", "state")

TOUCHED: Touched = {
    WSStream: STREAM,
    H11Protocol: ("send",),
    TCPServer: TCP,
    StreamReader: ("_buffer", "_wakeup_waiter"),
    StreamWriter: ("_transport",),
}
"""The undocumented attributes on which this package rests, over HTTP/1.1."""

TOUCHED_BY_HTTP_2: Touched = {
    WSStream: (*STREAM, "_send_error_response", "handle", "handshake", "stream_id"),
    H2Protocol: (
        "_flush",
        "_send_data",
        "_window_updated",
        "closed",
        "connection",
        "handle",
        "has_data",
        "priority",
        "send",
        "stream_buffers",
        "stream_send",
        "streams",
    ),
    TCPServer: (*TCP, "_idle_timeout", "idle_task"),
    StreamReader: (),
    StreamWriter: ("_transport",),
    StreamBuffer: ("buffer", "close", "set_complete"),
    EventWrapper: ("_event",),
    H2Connection: (
        "acknowledge_received_data",
        "close_connection",
        "increment_flow_control_window",
        "ping",
        "reset_stream",
        "state_machine",
        "streams",
    ),
}
"""The same over HTTP/2; h2 documents most of its own."""

TRIO = (
    "hypercorn's trio worker gives no access to Ping and Pong frames. Run hypercorn with "
    "--worker-class asyncio or uvloop"
)
HTTP_3 = (
    "hypercorn gives no access to Ping and Pong frames over HTTP/3. Offer only HTTP/1.1 and "
    "HTTP/2: no quic_bind in its configuration"
)


def attach(stream: Any, receive: Receive, send: Send) -> Server | str | None:
    """Join a connection with an endpoint.

    Args:
        stream: What hypercorn's `send` is bound to.
        receive: Where the application's events come from.
        send: Where the application's own events go.

    Returns:
        The server's side; why there is none over HTTP/3, nor on trio; or `None` if the
        inside is not what is expected.
    """
    http: Any = getattr(getattr(stream, "send", None), "__self__", None)
    tcp: Any = getattr(getattr(http, "send", None), "__self__", None)
    if type(stream) is WSStream and type(tcp).__module__.startswith("hypercorn.trio"):
        return TRIO
    if type(stream) is WSStream and type(http).__name__ == "H3Protocol":
        return HTTP_3
    reader, writer = (getattr(tcp, name, None) for name in ("reader", "writer"))
    parts = [stream, http, tcp, reader, writer]
    is_multiplexed = type(http) is H2Protocol
    if is_multiplexed:
        parts += _parts_of_http_2(stream, http)
    if not are_known(parts, TOUCHED_BY_HTTP_2 if is_multiplexed else TOUCHED):
        return None
    if "connection" not in WSStream._accept.__code__.co_names:  # there is none before
        return None
    if missing_methods(tcp.writer.transport) or not wsproto_is_known():
        return None
    queue: Any = getattr(stream.app_put, "__self__", None)
    if not is_known(queue):
        return None
    is_direct = is_method_of(queue, receive) and is_method_of(stream, send)
    if is_multiplexed:
        adapter: StreamAdapter = HTTP2Adapter(stream, joined(http, tcp))
    else:
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
        # All streams of an HTTP/2 connection have one value for their client.
        scope={name: value for name, value in stream.scope.items() if name != "client"},
        receive=stream.app_put.__self__,
        is_accepted=stream.state is not ASGIWebsocketState.HANDSHAKE,
    )


def _parts_of_http_2(stream: Any, http: Any) -> list[Any]:
    buffer = getattr(http, "stream_buffers", {}).get(getattr(stream, "stream_id", None))
    buffer = buffer or StreamBuffer(EventWrapper)  # the peer may have reset the stream
    return [buffer, getattr(http, "has_data", None), getattr(http, "connection", None)]
