"""Many clients in one process, written in C by picows so that they are not what is measured.

`python -m benchmarks.crowd` reads calls of `Crowd`'s methods from standard input, one JSON list
of name and arguments a line, and answers each with its result as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import zlib
from collections import deque
from collections.abc import Sequence
from typing import Any

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from .files import allow_many_files

DEFLATE = "permessage-deflate; client_max_window_bits; client_no_context_takeover"
"""Is offered by clients that compress: each message alone, so that it can be sent again."""

WINDOW_BITS = 12
"""uvicorn asks for that."""

AT_ONCE = 100
"""How many connections are opened at the same time."""

PATIENCE = 60
"""Seconds that a handshake may take while many connect, on a machine that does other things."""

TOGETHER = 0.05
"""Pings that come within so many seconds come together."""

LOOK = 0.001
"""Seconds from one look at how late the event loop is to the next."""


class Client(WSListener):
    """One client: it answers Pings while it is not silent."""

    def __init__(self, crowd: Crowd, name: str) -> None:
        self.crowd = crowd
        self.name = name
        self.pinged_at = 0.0
        self.is_lost = False
        self.is_silent = False
        self.answer: asyncio.Future[None] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            self.crowd.pings += 1
            self.pinged_at = time.monotonic()
            self.crowd.pinged_at.append(self.pinged_at)
            if not self.is_silent:
                transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.BINARY:
            if self.answer is not None:
                self.answer.set_result(None)
        elif frame.msg_type == WSMsgType.CLOSE and self.is_silent:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.is_lost = True

    async def echo(self, message: bytes) -> float:
        """Send a message; return the seconds until it has come back."""
        began = time.monotonic()
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.send(WSMsgType.BINARY, message, rsv1=self.crowd.deflates)
        await self.answer
        return time.monotonic() - began


class Crowd:
    """What can be called; times are monotonic seconds, which all processes share."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.deflates = False
        self.pinged_at: deque[float] = deque(maxlen=50_000)
        self.pings = 0

    async def deflate(self) -> None:
        """Compress what is sent on the connections that are opened from now on."""
        self.deflates = True

    async def connect(self, port: int, count: int) -> None:
        """Open so many connections more, to the paths /0, /1 ..., which are the clients' names."""
        headers = {"Sec-WebSocket-Extensions": DEFLATE} if self.deflates else {}
        names = iter([f"/{number}" for number in range(count)])

        async def connect() -> None:
            for name in names:
                client = Client(self, name)
                await ws_connect(
                    lambda client=client: client,
                    f"ws://127.0.0.1:{port}{name}",
                    enable_auto_pong=False,
                    websocket_handshake_timeout=PATIENCE,
                    extra_headers=headers,
                )
                self.clients.append(client)

        await asyncio.gather(*(connect() for _ in range(AT_ONCE)))

    async def count_pings(self) -> int:
        """Return how many Pings have come."""
        return self.pings

    async def count_together(self, seconds: float) -> tuple[int, int, float]:
        """Return the most Pings that come together in that time, of how many, and `TOGETHER`."""
        self.pinged_at.clear()
        await asyncio.sleep(seconds)
        times = list(self.pinged_at)
        return most_together(times, TOGETHER), len(times), TOGETHER

    async def echo(self, size: int, count: int) -> None:
        """Let every client send so many messages of that size, each after the other's return."""
        message = deflated(bytes(size)) if self.deflates else bytes(size)

        async def converse(client: Client) -> None:
            for _ in range(count):
                await client.echo(message)

        await asyncio.gather(*map(converse, self.clients))

    async def fall_silent(self, seconds: float) -> dict[str, Any]:
        """Let every other client fall silent at once, and the last one echo for so many seconds.

        Returns:
            `pinged_at`: when the last Ping came, by the silent client's name; `lost`: how many of
            the others lost their connection; `echo`: the slowest, in seconds; `stall`: how late
            this process was at worst.
        """
        silent = self.clients[::2]
        for client in silent:
            client.is_silent = True
        end = time.monotonic() + seconds
        echo = stall = 0.0
        while time.monotonic() < end:
            echo = max(echo, await self.clients[-1].echo(b"still there?"))
            began = time.monotonic()
            await asyncio.sleep(LOOK)
            stall = max(stall, time.monotonic() - began - LOOK)
        return {
            "pinged_at": {client.name: client.pinged_at for client in silent},
            "lost": sum(client.is_lost for client in self.clients[1::2]),
            "echo": echo,
            "stall": stall,
        }


def most_together(times: Sequence[float], window: float) -> int:
    """Return how many of these times, which are in order, fall in the busiest window."""
    first = most = 0
    for last, at in enumerate(times):
        while times[first] < at - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def deflated(message: bytes) -> bytes:
    """Return the payload of a compressed message (RFC 7692 7.2.1)."""
    compressor = zlib.compressobj(wbits=-WINDOW_BITS)
    data = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\x00\x00\xff\xff")


async def main(crowd: Crowd) -> None:
    """Carry out one call after the other."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        method, *arguments = json.loads(line)
        print(json.dumps(await getattr(crowd, method)(*arguments)), flush=True)


if __name__ == "__main__":
    allow_many_files()
    uvloop.run(main(Crowd()))
