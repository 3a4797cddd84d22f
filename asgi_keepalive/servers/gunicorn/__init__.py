"""gunicorn's own `asgi` worker; with uvicorn's workers the server is uvicorn."""

from __future__ import annotations

import functools
import inspect
from types import FrameType
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol  # type: ignore[import-untyped]
from gunicorn.asgi.websocket import WebSocketProtocol  # type: ignore[import-untyped]

from ...endpoint.endpoint import Endpoint, Functions
from ...endpoint.transports import missing_methods
from ...extension import Receive, Send, Server
from ..between import Own
from ..inside import are_known, has
from ..origins import is_method_of
from .adapter import HEADER, READ_FRAME, GunicornAdapter

TOUCHED = {
    WebSocketProtocol: (
        "_buffer",
        "_close_event",
        "_close_received",
        "_close_sent",
        "_denied",
        "_deny",
        "_fragment_opcode",
        "_queue_space",
        "_receive_queue",
        "_resume_reading",
        "_send_close",
        "accepted",
        "close_code",
        "close_reason",
        "closed",
        "feed_eof",
        "max_message_size",
        "transport",
    ),
    ASGIProtocol: ("_task", "transport", "worker"),
}
"""The undocumented attributes on which this package rests."""

WORKERS = ("_quick_shutdown", "_shutdown", "cfg", "loop", "notify", "tmp")
"""The attributes of a worker, which may be of a user's own class, on which this package rests."""

RUN = WebSocketProtocol.run.__code__
READ_TASK = "read_task"
"""A local variable of `run`."""


def attach(protocol: Any, receive: Receive, send: Send) -> Server | None:
    """Join a connection with an endpoint.

    Args:
        protocol: What gunicorn's `send` is bound to.
        receive: Where the application's events come from.
        send: Where the application's own events go.

    Returns:
        The server's side, or `None` if the inside is not what is expected.
    """
    transport: Any = getattr(protocol, "transport", None)
    if type(protocol) is not WebSocketProtocol or missing_methods(transport):
        return None
    http, reading = _surroundings(protocol)
    if reading is None:
        return None
    if not are_known((protocol, http), TOUCHED) or not has(http.worker, WORKERS):
        return None
    if HEADER not in READ_FRAME.co_varnames:
        return None
    if transport.get_protocol() not in (http, None):  # there is none any more if it is lost
        return None
    adapter = GunicornAdapter(protocol, http, reading)
    endpoint = Endpoint(adapter)
    if adapter.transport.is_closing():
        endpoint.lost()  # which the server has been told, and nobody will be told again
    # What stands before the protocol's own `receive` may have to see the events.
    is_direct = is_method_of(protocol, receive) and is_method_of(protocol, send)
    return Server(
        receive=adapter.queue.get if is_direct else receive,
        send=functools.partial(endpoint.send, send),
        extension=Functions(endpoint),
        send_message=send,
        releases_calls=is_direct,
        is_closing=endpoint.transport_is_closing,
        is_accepted=adapter.is_open(),
    )


def own(protocol: Any) -> Own | None:
    """Return a connection as gunicorn made it; `None` if this is not one."""
    if type(protocol) is not WebSocketProtocol:
        return None
    http = protocol.transport.get_protocol()
    is_answered = protocol.accepted or protocol._denied
    return Own(http.worker.loop, protocol.scope, protocol, is_answered)


def _surroundings(protocol: Any) -> tuple[Any, Any]:
    """Return the `ASGIProtocol`, and the coroutine of the task that reads, if they can be found."""
    # gunicorn keeps them in local variables, and calls the application from there.
    frame = inspect.currentframe()
    while frame is not None and not _runs(frame, protocol):
        frame = frame.f_back
    if frame is not None and frame.f_back is not None:
        return frame.f_back.f_locals["self"], frame.f_locals[READ_TASK].get_coro()
    # Something runs the application in a task of its own, for which gunicorn's waits.
    http = protocol.transport.get_protocol()
    waits_in = http._task.get_coro()
    while waits_in is not None:
        frame = getattr(waits_in, "cr_frame", None)
        if frame is not None and _runs(frame, protocol):
            return http, frame.f_locals[READ_TASK].get_coro()
        waits_in = getattr(waits_in, "cr_await", None)
    return http, None


def _runs(frame: FrameType, protocol: Any) -> bool:
    return frame.f_code is RUN and frame.f_locals["self"] is protocol
