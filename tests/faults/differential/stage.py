"""One server, with the middleware or without, on which plays are performed."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from gunicorn.asgi.protocol import ASGIProtocol  # type: ignore[import-untyped]

from asgi_keepalive import KeepaliveMiddleware

from ...support.server import Server, all_kernel_sockets, running, wait_until
from ...support.serving import APPLICATION_FAILED, CANCELLED, Uvicorn, serving
from .ahead import AHEAD
from .frames import MAX_SIZE
from .play import AT_ONCE, CERTAIN, CLOSE_TIMEOUT, MAX_QUEUE, Play
from .puppet import Part, Puppet
from .wire import Wire

LOOKS = 5
"""In each of so many turns daphne looks after applications that have ended."""

OPEN = {"01", "08"}
"""ESTABLISHED and CLOSE_WAIT, as /proc/net/tcp writes them."""


class Stage:
    """A running server, and the application that it serves.

    Args:
        kind: "behind" the middleware, "plain", or plain but reading "ahead" of the application
            as far as behind the middleware, or further.
        tls: What clients trust, over wss.
    """

    def __init__(self, kind: str, running: Server, puppet: Puppet, tls: ssl.SSLContext | None):
        self.kind = kind
        self.server = running
        self._puppet = puppet
        self._tls = tls
        self._paths = count()
        self._records = 0
        self._turns = 0
        self.stopping = False
        self._daphne = getattr(running, "_server", None) if is_daphne(running) else None

    @contextmanager
    def connection(self, play: Play) -> Iterator[tuple[Part, Wire]]:
        """Let a client connect; give its application's part and its end of the wire."""
        path = f"/{next(self._paths)}"
        part = self._puppet.parts[path] = Part(escapes=play.escapes)
        wire = Wire(self.server.port, path, tls=self._tls, deflate=play.deflate, early=play.early)
        try:
            yield part, wire
        finally:
            wire.close()
            del self._puppet.parts[path]

    def turn(self) -> None:
        """Let the server's event loop turn once."""
        if not self.server.thread.is_alive():
            return
        if self.stopping:
            time.sleep(0.002)
        else:
            self._turns += 1
            looks = self._daphne is not None and self._turns % LOOKS == 0
            self.server.run(self._look if looks else lambda: None)

    @property
    def is_exiting(self) -> bool:
        """Whether the server still has something to do that is to stop."""
        return self.stopping and self.server.thread.is_alive()

    def stop(self) -> None:
        """Let the server exit; uvicorn looks ten times a second whether it is to."""
        self.stopping = True
        self.server.exit()
        if isinstance(self.server, Uvicorn):
            wait_until(lambda: self.server.socket.fileno() < 0)

    def run(self, function: Any) -> None:
        """Run a function in the server's thread."""
        if not self.stopping:
            self.server.run(function)
        elif self.server.loop is not None:
            with suppress(RuntimeError):  # it is closed
                self.server.loop.call_soon_threadsafe(function)

    def _collect(self) -> None:
        """Let asyncio log now that nobody has asked for a task's exception."""
        if self.stopping:
            gc.collect()
        else:
            self.server.run(gc.collect)

    def _look(self) -> None:
        """Let daphne look after ended applications and its Pings; by itself it does so each second.

        The latter even each other second only.
        """
        assert self._daphne is not None
        type(self._daphne).application_checker(self._daphne)
        for protocol in list(self._daphne.connections):
            protocol.check_timeouts()

    def holds(self, port: int) -> bool:
        """Whether the process has a descriptor of a client's connection."""
        found = all_kernel_sockets(self.server.port)
        return any(one.client_port == port and not one.orphaned for one in found)

    def leaves_unread(self, wire: Wire) -> bool:
        """Whether something that the client has sent stays in the kernel, or could not be sent."""
        return not wire.is_idle or unread(self.server.port, wire.port) > 0

    def hides_from(self, wire: Wire) -> bool:
        """Whether the server has paused reading and TLS takes from the kernel what comes."""
        if self._tls is None or not isinstance(self.server, Uvicorn):
            return False
        return any(
            (transport.get_extra_info("peername") or [None])[-1] == wire.port
            and not transport.is_reading()
            for transport in self.server.transports()
        )

    def logged(self) -> list[str]:
        """Return what has been logged as wrong since the last such call, by kind."""
        self._collect()
        records = self.server.records[self._records :]
        self._records += len(records)
        thread = self.server.thread.ident
        wrong = [one for one in records if one.levelno >= logging.WARNING and one.thread == thread]
        return sorted(filter(None, map(logged_as, wrong)))


def unread(server_port: int, client_port: int) -> int:
    """Return how many bytes the kernel holds that the server has not read (Linux)."""
    for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [int(end.rpartition(":")[2], 16) for end in fields[1:3]] == [server_port, client_port]:
            return int(fields[4].rpartition(":")[2], 16) if fields[3] in OPEN else 0
    return 0


def logged_as(record: logging.LogRecord) -> str | None:
    """Return the kind of what was logged, or `None` if machine or Python alone are the reason."""
    message = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    if "the event loop stood still" in message or message.startswith(CANCELLED):
        return None
    for beginning in APPLICATION_FAILED:
        if message.startswith(beginning):
            return f"application failed: {type(error).__name__}"
    if message.startswith("Fatal error: protocol."):
        return f"what reads failed: {type(error).__name__}"
    return f"{record.name}: {message.splitlines()[0]} {type(error).__name__ if error else ''}"


def is_daphne(server: Server) -> bool:
    return type(server).__name__ == "Daphne"


@contextmanager
def staged(
    kind: str,
    ws: str,
    loop: str,
    tls: ssl.SSLContext | None = None,
    certificate: Path | None = None,
    *,
    ping_interval: float = 0.01,
    ping_timeout: float = 30,
    own_pings: bool = False,
    application: Any = None,
) -> Iterator[Stage]:
    """Run a server of that kind, see `Stage`, with Pings of its own, too, if asked for."""
    puppet = Puppet()
    application = application or puppet
    config: dict[str, Any] = {}
    if kind == "behind":
        application = KeepaliveMiddleware(
            application,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=CLOSE_TIMEOUT,
        )
    protocol: Any = ws
    if own_pings and kind != "behind":
        config |= {"ws_ping_interval": ping_interval, "ws_ping_timeout": ping_timeout}
    if ws in {"hypercorn", "gunicorn"}:
        config |= {"websocket_max_message_size": MAX_SIZE, "graceful_timeout": AT_ONCE / 3}
    elif ws != "daphne":
        config |= {"ws_max_size": MAX_SIZE, "ws_max_queue": MAX_QUEUE, "ws_ping_interval": None}
    if kind == "ahead":
        config |= {} if ws in {"daphne", "websockets"} else {"ws_max_queue": None}
        protocol = AHEAD.get(ws, ws)
    if certificate is not None:
        config["ssl_certfile"] = str(certificate)
    one = serving(application, ws=protocol, loop=loop, **config)
    # Connections inherit it. asyncio does not set it on those of such a socket, and Nagle's
    # algorithm would hold back what follows a TLS handshake for as long as the client's ACK takes.
    if ws != "daphne":  # autobahn sets it
        one.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if ws == "daphne":
        inside: Any = one._server  # type: ignore[attr-defined]
        inside.websocket_max_message_size = inside.websocket_max_frame_size = MAX_SIZE
        inside.application_checker = lambda: None  # its stage sees to it
    if ws in {"hypercorn", "gunicorn"} and kind != "behind":
        one.serve = partial(_serve_and_abort, one.serve)  # type: ignore[method-assign]
    with running(one):
        if ws == "daphne":  # of autobahn, 1 s, in which a busy machine may not come to an answer
            inside.ws_factory.setProtocolOptions(closeHandshakeTimeout=CERTAIN)
        yield Stage(kind, one, puppet, tls if certificate is not None else None)
        if ws == "hypercorn" and kind != "behind" and one.thread.is_alive():
            one.run(_cancel_connections)


async def _serve_and_abort(serve: Any) -> None:
    """Serve by a plain hypercorn, which can leave connections behind, stumble over TLS, or hang."""
    try:
        with suppress(ssl.SSLError, asyncio.CancelledError):
            await serve()
    finally:
        _abort_connections()


def _abort_connections() -> None:
    loop = asyncio.get_running_loop()
    transports = list(getattr(loop, "_transports", {}).values())  # not uvloop's
    transports += [
        one.transport
        for one in gc.get_objects()
        if type(one) is ASGIProtocol and one.worker.loop is loop and one.transport is not None
    ]
    for transport in transports:
        transport.abort()


def _cancel_connections() -> None:
    """Let a plain hypercorn exit, which never does while a connection has unread messages.

    Nor, over TLS, while a client does not close.
    """
    _abort_connections()
    for task in asyncio.all_tasks():
        if any(part in repr(task) for part in ("_server_callback", "TCPServer", "_handle")):
            task.cancel()
