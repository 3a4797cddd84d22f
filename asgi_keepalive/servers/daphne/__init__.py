"""daphne, over TCP and TLS.

There, one object is a connection: autobahn's protocol on a transport of Twisted's. A connection
that is joined is given another class, and a transport that is one of asyncio's. (Changing an
object's class needs a class with exactly one base, the object's own.)

Of itself daphne never holds up an application that sends, tells it of a peer's Close only when TCP
is gone, leaves a connection open when its application returns, and drops all of them when it exits.
"""

from __future__ import annotations

import functools
from typing import Any

from daphne.ws_protocol import WebSocketProtocol  # type: ignore[import-untyped]
from twisted.internet.tcp import Connection

from ...endpoint.endpoint import Endpoint, Functions
from ...endpoint.queue import is_known
from ...extension import Receive, Send, Server
from ..between import Own
from ..inside import has
from ..origins import is_method_of
from .adapter import DaphneAdapter
from .transport import TOUCHED as TOUCHED_TCP
from .transport import tcp_of

TOUCHED = (
    "CLOSE_STATUS_CODE_NORMAL",
    "STATE_CONNECTING",
    "STATE_OPEN",
    "_closeConnection",
    "_onOpen",
    "application_queue",
    "check_timeouts",
    "closeHandshakeTimeout",
    "connectionLost",
    "data",
    "dataReceived",
    "dropConnection",
    "last_ping",
    "maxMessagePayloadSize",
    "onClose",
    "onCloseFrame",
    "processData",
    "sendCloseFrame",
    "server",
    "state",
    "transport",
)
"""The attributes of a protocol on which this package rests; most are not documented."""

TOUCHED_PARSER = {"current_frame", "data", "inside_message"}
"""The attributes of its parser, which has most of them once the connection is open."""

TOUCHED_SERVER = ("connections", "ping_interval")
"""The attributes of its server."""


def attach(protocol: Any, receive: Receive, send: Send) -> Server | None:
    """Join a connection with an endpoint.

    Args:
        protocol: What daphne's `send` is made of.
        receive: Where the application's events come from.
        send: Where the application's own events go.

    Returns:
        The server's side, or `None` if this is not a connection of daphne's, or its inside is not
        what is expected.
    """
    if type(protocol) is not WebSocketProtocol or not has(protocol, TOUCHED):
        return None
    if not has(protocol.server, TOUCHED_SERVER):
        return None
    if not set(WebSocketProtocol.processData.__code__.co_names) >= TOUCHED_PARSER:
        return None
    tcp = tcp_of(protocol.transport)
    if not isinstance(tcp, Connection) or not has(tcp, TOUCHED_TCP):
        return None
    task = protocol.server.connections.get(protocol, {}).get("application_instance")
    queue = protocol.application_queue
    if task is None or not is_known(queue):
        return None
    is_direct = (
        is_method_of(queue, receive)
        and type(send) is functools.partial
        and is_method_of(protocol.server, send.func)
    )
    adapter = DaphneAdapter(protocol, task)
    endpoint = Endpoint(adapter)
    if adapter.transport.is_closing():
        endpoint.lost()  # which the server has been told, and nobody will be told again
    return Server(
        # What stands before the server's own `receive` may have to see the events.
        receive=adapter.queue.get if is_direct else receive,
        send=functools.partial(endpoint.send, send),
        extension=Functions(endpoint),
        is_accepted=adapter.is_open(),
        send_message=functools.partial(adapter.pass_on, send),
        releases_calls=is_direct,
    )


def own(protocol: Any) -> Own | None:
    """Return a connection as daphne made it; `None` if this is not one."""
    if type(protocol) is not WebSocketProtocol:
        return None
    task = protocol.server.connections[protocol]["application_instance"]
    scope = {"headers": protocol.clean_headers, "client": protocol.client_addr}
    is_accepted = protocol.state != protocol.STATE_CONNECTING
    return Own(task.get_loop(), scope, protocol.application_queue, is_accepted)
