"""Many pages in one process, which come back after a drain, and one client that probes.

`python -m benchmarks.pages` reads calls of `Pages`'s methods, as `benchmarks.crowd` does.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
from contextlib import suppress
from typing import Any

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from . import crowd
from .crowd import AT_ONCE, PATIENCE, Crowd, most_together
from .files import allow_many_files

NONCE = "0123456789abcdef" * 2
"""Asks for heartbeats, and is in front of each of them."""

TOGETHER = 0.1
"""Reconnects that begin within so many seconds come together."""

LONG = 1.0
"""Seconds after which a handshake has taken long."""

EVERY = 0.01
"""Seconds from one message that probes to the next."""

STAMP = struct.Struct("=d")
"""Such a message tells when it was sent."""


class Page(WSListener):
    """One page: it reads heartbeats, answers a Close, and comes back."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.reconnect_after = 0.0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            told = json.loads(frame.get_payload_as_bytes().removeprefix(NONCE.encode()))
            self.reconnect_after = told.get("reconnectAfter", 0.0)
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            self.pages.left(self)


class Probe(WSListener):
    """One client whose messages come back."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            [sent_at] = STAMP.unpack(frame.get_payload_as_bytes())
            self.seen.append((sent_at, time.monotonic() - sent_at))

    async def run(self, url: str) -> None:
        """Send a message every `EVERY` seconds, whether or not the last has come back."""
        transport, _ = await ws_connect(lambda: self, url, enable_auto_pong=True)
        while True:
            transport.send(WSMsgType.BINARY, STAMP.pack(time.monotonic()))
            await asyncio.sleep(EVERY)


class Pages(Crowd):
    """What can be called; times are monotonic seconds, which all processes share."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self._all_back = asyncio.Event()
        self._began: list[float] = []
        self._connected: list[float] = []
        self._count = 0
        self._failed = self._long = 0
        self._probe = Probe()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits = False

    async def open(self, port: int, count: int) -> None:
        """Open so many pages."""
        self.url = url_of(port)
        self._count = count

        async def open_some() -> None:
            for _ in range(count // AT_ONCE):
                await self._connect()

        await asyncio.gather(*(open_some() for _ in range(AT_ONCE)))

    async def prepare(self, port: int, waits: bool) -> None:
        """Let pages go there when they are closed; do they wait as they were told?"""
        self.url = url_of(port)
        self._waits = waits

    async def all_back(self) -> dict[str, Any]:
        """Wait until all are back.

        Returns:
            `busiest`: how many began to come back in the busiest `TOGETHER`; `failed`: how many
            handshakes failed; `long`: how many took longer than `LONG`; `span`: when the first
            began, and when the last was back.
        """
        await self._all_back.wait()
        return {
            "busiest": most_together(sorted(self._began), TOGETHER),
            "failed": self._failed,
            "long": self._long,
            "span": (min(self._began), max(self._connected)),
        }

    def left(self, page: Page) -> None:
        """The server has closed a page."""
        wait = page.reconnect_after if self._waits else 0.0
        task = asyncio.get_running_loop().create_task(self._come_back(wait))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _come_back(self, wait: float) -> None:
        await asyncio.sleep(wait)
        while True:
            began = time.monotonic()
            self._began.append(began)
            with suppress(Exception):  # whatever stops a handshake
                await self._connect()
                break
            self._failed += 1
            await asyncio.sleep(random.uniform(0, LONG))
        self._connected.append(time.monotonic())
        self._long += self._connected[-1] - began > LONG
        if len(self._connected) == self._count:
            self._all_back.set()

    async def _connect(self) -> None:
        await ws_connect(
            lambda: Page(self),
            self.url,
            enable_auto_pong=False,
            websocket_handshake_timeout=PATIENCE,
        )

    async def probe(self, port: int) -> None:
        """Begin to probe a server."""
        self._tasks.add(asyncio.create_task(self._probe.run(f"ws://127.0.0.1:{port}/")))

    async def probed(self) -> list[tuple[float, float]]:
        """Return of each message that has come back when it was sent, and how long it took."""
        return self._probe.seen


def url_of(port: int) -> str:
    """Return the URL with which a page asks for heartbeats."""
    return f"ws://127.0.0.1:{port}/?asgi-keepalive={NONCE}"


async def main() -> None:
    """Carry out one call after the other."""
    await crowd.main(Pages())


if __name__ == "__main__":
    allow_many_files()
    uvloop.run(main())
