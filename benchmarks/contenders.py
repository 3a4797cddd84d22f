"""The servers that are compared, each in a process of its own.

`python -m benchmarks.contenders NAME LOOP INTERVAL TIMEOUT` serves an echo on a free port of
loopback with that keepalive, and writes the port. It obeys the lines of its standard input:

- `fill`: many connections are coming.
- `watch`: they are there; look from now on how late the event loop is.
- `stall`: block the event loop.
- `collect`: collect garbage.
- `drain SECONDS`: drain the middleware over that window.
- `report`: write, as JSON, how late it was at worst, and the ends of connections.

It exits when its input ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn
from picows import (
    WSAutoPingStrategy,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_create_server,
)
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websockets_serve
from websockets.exceptions import ConnectionClosed

from asgi_keepalive import KeepaliveMiddleware, drain
from asgi_keepalive.observers.live import LiveConnections
from asgi_keepalive.observers.shared import SharedConnections

from .files import allow_many_files

REDIS = "BENCHMARK_REDIS"
"""This variable of the environment has the URL of the Redis."""

LOOK = 0.005
"""Seconds from one look at how late the event loop is to the next."""


STALL = 1.0
"""Seconds for which the event loop is blocked."""


class Report:
    """What the server process has seen. Times are monotonic seconds.

    Attributes:
        ends: When each connection was over, by its name.
        stall: How late the event loop was at worst.
        turn: How late it was at worst by what it did itself, other processes on its core apart.
    """

    def __init__(self) -> None:
        self.ends: dict[str, float] = {}
        self.stall = self.turn = 0.0

    def ended(self, name: str) -> None:
        """The application has been told that its connection is over."""
        self.ends[name] = time.monotonic()

    async def watch(self) -> None:
        """Look how late the event loop is, until cancelled."""
        while True:
            began, used = time.monotonic(), time.thread_time()
            await asyncio.sleep(LOOK)
            late, used = time.monotonic() - began - LOOK, time.thread_time() - used
            self.stall = max(self.stall, late)
            self.turn = max(self.turn, min(late, used))


Serve = Callable[[socket.socket, Report], Coroutine[Any, Any, None]]
"""Serves an echo on a listening socket for ever; a connection is named by its path."""


def _echo(report: Report) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                report.ended(scope["path"])
                return
            await send({"type": "websocket.send", "bytes": event["bytes"]})

    return app


def middleware(ws: Any, interval: float | None, timeout: float, **options: Any) -> Serve:
    """This project's middleware on uvicorn."""

    def wrap(app: Any) -> Any:
        return KeepaliveMiddleware(app, ping_interval=interval, ping_timeout=timeout, **options)

    return _uvicorn(ws, wrap, interval, timeout)


def live(ws: Any, interval: float | None, timeout: float) -> Serve:
    """The same with a list of this process's connections."""
    return middleware(ws, interval, timeout, observers=[LiveConnections()])


def shared(ws: Any, interval: float | None, timeout: float) -> Serve:
    """The same with a view of all processes."""
    return middleware(ws, interval, timeout, observers=[SharedConnections(os.environ[REDIS])])


def built_in(ws: Any, interval: float | None, timeout: float) -> Serve:
    """uvicorn's own keepalive."""
    return _uvicorn(ws, lambda app: app, interval, timeout)


def no_keepalive(ws: Any, interval: float | None, timeout: float) -> Serve:
    """uvicorn with its keepalive turned off."""
    return _uvicorn(ws, lambda app: app, None, timeout)


def _uvicorn(ws: Any, wrap: Callable[[Any], Any], interval: float | None, timeout: float) -> Serve:
    async def serve(listening: socket.socket, report: Report) -> None:
        config = uvicorn.Config(
            wrap(_echo(report)),
            ws=ws,
            ws_ping_interval=interval,
            ws_ping_timeout=timeout,
            loop="none",
            lifespan="off",
            log_config=None,
        )
        await uvicorn.Server(config).serve(sockets=[listening])

    return serve


def websockets(ws: Any, interval: float | None, timeout: float) -> Serve:
    """The server of the `websockets` library."""

    async def serve(listening: socket.socket, report: Report) -> None:
        async def echo(connection: ServerConnection) -> None:
            assert connection.request is not None
            with suppress(ConnectionClosed):
                async for message in connection:
                    await connection.send(message)
            report.ended(connection.request.path)

        options: dict[str, Any] = {"ping_interval": interval, "ping_timeout": timeout}
        async with websockets_serve(echo, sock=listening, compression=None, **options) as server:
            await server.serve_forever()

    return serve


def picows(ws: Any, interval: float | None, timeout: float) -> Serve:
    """The server of `picows`, which is written in C: the floor."""

    async def serve(listening: socket.socket, report: Report) -> None:
        class Echo(WSListener):
            def on_ws_connected(self, transport: WSTransport) -> None:
                self.path = transport.request.path.decode()

            def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
                if frame.msg_type == WSMsgType.BINARY:
                    transport.send(WSMsgType.BINARY, frame.get_payload_as_bytes())

            def on_ws_disconnected(self, transport: WSTransport) -> None:
                report.ended(self.path)

        server = await ws_create_server(
            lambda request: Echo(),
            sock=listening,
            enable_auto_ping=interval is not None,
            # It waits for each Pong as long as it may take, and only then for the next Ping.
            auto_ping_idle_timeout=(interval or 0) / 2,
            auto_ping_reply_timeout=(interval or 0) / 2,
            auto_ping_strategy=WSAutoPingStrategy.PING_PERIODICALLY,
        )
        await server.serve_forever()

    return serve


CONTENDERS: dict[str, tuple[Callable[[Any, float | None, float], Serve], str | None]] = {
    "middleware, sansio": (middleware, "websockets-sansio"),
    "with max_age": (partial(middleware, max_age=3600), "websockets-sansio"),
    "LiveConnections": (live, "websockets-sansio"),
    "SharedConnections": (shared, "websockets-sansio"),
    "uvicorn, sansio": (built_in, "websockets-sansio"),
    "middleware, wsproto": (middleware, "wsproto"),
    "uvicorn, wsproto": (built_in, "wsproto"),
    "no keepalive, sansio": (no_keepalive, "websockets-sansio"),
    "websockets": (websockets, None),
    "picows": (picows, None),
}
"""What serves, and uvicorn's `--ws`, for each name in the tables."""


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes an event loop: `asyncio` or `uvloop`."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.SelectorEventLoop


async def main(name: str, interval: float | None, ping_timeout: float) -> None:
    """Serve until standard input ends."""
    make, ws = CONTENDERS[name]
    report = Report()
    watching: asyncio.Task[None] | None = None
    draining: asyncio.Task[None] | None = None  # held, as the event loop does not
    loop = asyncio.get_running_loop()

    def read() -> None:
        nonlocal watching, draining
        match sys.stdin.readline():
            case "fill\n":
                # A full collection of so many objects would stop any of the contenders for half a
                # second or more, at a moment of its own, and what connects meanwhile would then be
                # pinged all at once.
                gc.disable()
            case "watch\n":
                gc.freeze()
                gc.enable()
                report.stall = report.turn = 0.0
                watching = loop.create_task(report.watch())
            case "stall\n":
                time.sleep(STALL)
            case "collect\n":
                gc.collect()
            case line if line.startswith("drain "):
                draining = loop.create_task(drain(float(line.removeprefix("drain "))))
            case "report\n":
                if watching is not None:
                    watching.cancel()
                print(json.dumps(vars(report)), flush=True)
            case _:
                os._exit(0)

    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    # asyncio sets TCP_NODELAY only where the protocol is known, as here it is not.
    listening = socket.socket(fileno=listening.detach())
    loop.add_reader(sys.stdin, read)
    print(listening.getsockname()[1], flush=True)
    await make(ws, interval, ping_timeout)(listening, report)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    allow_many_files()
    loop_name, options = sys.argv[2], [json.loads(argument) for argument in sys.argv[3:]]
    with asyncio.Runner(loop_factory=loop_factory(loop_name)) as runner:
        runner.run(main(sys.argv[1], *options))
