"""A server that streams, in a process of its own: the middleware on uvicorn.

`python -m benchmarks.streams LOOP ADDRESS BOUNDED CERTIFICATE` serves on a free port of that
address, and writes the port. Where `BOUNDED` is `false` the kernel and TLS take as much ahead as
they do by themselves. With a `CERTIFICATE` it serves wss. What is sent depends on the path:
`/NAME/SIZE` gets messages of that size for ever, and Pings between them.

For each line of its standard input it writes, as JSON, the round trips of the Pings in seconds by
name, since the last such line, and how many bytes the kernel holds for all connections together. It
exits when its input ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn

from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.endpoint import kernel, transports

from .contenders import loop_factory
from .files import allow_many_files

PAUSE = 0.05
"""Seconds from a Pong to the next Ping."""

SO_MEMINFO = struct.Struct("=I 4x I 4x I I 12x")
"""What `SO_MEMINFO` tells (`linux/sock_diag.h`): received, on its way, set aside, and queued."""


class Streams:
    """The application.

    Attributes:
        round_trips: Of the Pings, by the name of the connection.
    """

    def __init__(self) -> None:
        self.round_trips: defaultdict[str, list[float]] = defaultdict(list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        _, name, size = scope["path"].split("/")
        await receive()
        await send({"type": "websocket.accept"})
        pinging = asyncio.create_task(self._ping(name, get_keepalive(scope)))
        message = {"type": "websocket.send", "bytes": bytes(int(size))}
        try:
            while True:
                await send(message)
        finally:
            pinging.cancel()

    async def _ping(self, name: str, keepalive: Any) -> None:
        with suppress(OSError):  # it is over
            while True:
                began = time.monotonic()
                await keepalive.ping()
                self.round_trips[name].append(time.monotonic() - began)
                await asyncio.sleep(PAUSE)


def held() -> int:
    """Return how many bytes the kernel holds for this process's connections."""
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it is no socket
            sock = socket.socket(fileno=int(entry.name))
            total += sum(SO_MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, 55, SO_MEMINFO.size)))
            sock.detach()
    return total


async def main(address: str, bounded: bool, certificate: str | None) -> None:
    """Serve until standard input ends."""
    if not bounded:
        kernel.NOTSENT_LOWAT.clear()
        transports.OVER_TLS = 512 * 1024
    app = Streams()

    def read() -> None:
        if not sys.stdin.readline():
            os._exit(0)
        print(json.dumps([app.round_trips, held()]), flush=True)
        app.round_trips.clear()

    listening = socket.create_server((address, 0), backlog=4096)
    asyncio.get_running_loop().add_reader(sys.stdin, read)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        KeepaliveMiddleware(app, ping_interval=None, ping_timeout=60),
        ws="websockets-sansio",
        loop="none",
        lifespan="off",
        log_config=None,
        ssl_certfile=certificate,
    )
    await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    allow_many_files()
    is_bounded, file = (json.loads(argument) for argument in sys.argv[3:])
    with asyncio.Runner(loop_factory=loop_factory(sys.argv[1])) as runner:
        runner.run(main(sys.argv[2], is_bounded, file))
