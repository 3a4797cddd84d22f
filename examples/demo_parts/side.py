"""One of the two servers, its four clients, and what has become of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from . import MARGIN, WATCHED, kernel
from .server import serving
from .stage import Event, Stage

PATHS = {"lively": "/ws", "silent": "/ws", "frozen": "/stream", "busy": "/work"}
LAST_WORDS = "still here"
GOODBYE = bytes([0x88, 0x80, 0, 0, 0, 0])
"""A Close frame without a code, as a page sends it that calls `socket.close()`."""


class Side:
    """One server with its clients.

    Attributes:
        told: The end of a connection as its handler is told of it, by the name of the client.
        held: How many bytes the kernel held for frozen before its handler was told.
        freed: When the kernel held nothing for it any more.
        answered: When busy had an answer.
        closed: Why busy was closed.
        latency: Lively's, in seconds, as the application knows it.
        kept: Whether lively could still chat in the end.
    """

    def __init__(self, label: str, stage: Stage) -> None:
        self.told: dict[str, Event] = {}
        self.held: int | None = None
        self.freed: float | None = None
        self.answered: float | None = None
        self.closed: Event | None = None
        self.latency: float | None = None
        self.kept = False
        self._label = label
        self._stage = stage
        self._names: dict[int, str] = {}  # of the clients, by port
        self._clients: dict[str, ClientConnection] = {}

    async def run(self, *arguments: str) -> None:
        """Start the server, and let the clients play at the same time as those of the other."""
        async with serving(self._logged, *arguments) as port:
            await self._stage.together.wait()
            try:
                for name, path in PATHS.items():
                    await self._connect(name, port, path)
                await self._stage.together.wait()
                await self._play(port)
            finally:
                for client in self._clients.values():
                    client.transport.abort()

    def _say(self, who: str, what: str) -> None:
        self._stage.say(self._label, who, what)

    def _logged(self, level: str, logger: str, message: str) -> None:
        if logger == "asgi_keepalive":
            port = message.partition(" ")[0].rpartition(":")[2]
            name = self._names.get(int(port) if port.isdecimal() else 0, "")
            self._say(name, f"no Pong; {message.rpartition('; ')[2]}")
        elif logger == "chat":
            name, _, what = message.partition(" ")
            self.told[name] = Event(what, self._stage.seconds())
            self._say(name, f"the handler is told: {what}")
        elif level not in ("DEBUG", "INFO"):
            self._say("", message)

    async def _connect(self, name: str, port: int, path: str) -> None:
        sock = socket.create_connection(("127.0.0.1", port))
        self._names[sock.getsockname()[1]] = name
        uri = f"ws://127.0.0.1:{port}{path}?name={name}"
        client = await connect(uri, sock=sock, ping_interval=None, compression=None)
        self._clients[name] = client

    async def _play(self, port: int) -> None:
        lively, silent, frozen, busy = self._clients.values()
        chatting = asyncio.create_task(self._chat(lively))
        silent.transport.pause_reading()
        frozen.transport.pause_reading()
        self._stage.start()
        asking = asyncio.create_task(self._ask(busy))
        await self._watch_frozen(port, frozen.local_address[1])
        await self._until(lambda: "silent" in self.told and asking.done())
        asking.cancel()
        with contextlib.suppress(ConnectionClosed):
            await lively.send(LAST_WORDS)
        await asyncio.wait([chatting], timeout=MARGIN)
        chatting.cancel()
        if self.kept:
            self._say("lively", "leaves with a Close frame")
            lively.transport.write(GOODBYE)
            await self._until(lambda: "lively" in self.told, WATCHED + 2 * MARGIN)

    async def _chat(self, lively: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in lively:
                event = json.loads(message)
                for participant in event.get("roster", ()):
                    if participant["name"] == "lively":
                        self._measured(participant["latency"])
                if event.get("line") == f"lively: {LAST_WORDS}":
                    self._say("lively", "can still chat")
                    self.kept = True
                    return

    def _measured(self, latency: float | None) -> None:
        if latency is not None and latency != self.latency:
            self.latency = latency
            self._say("lively", f"has a latency of {latency * 1000:.2f} ms")

    async def _ask(self, busy: ClientConnection) -> None:
        await busy.send("the first")
        await busy.send("the second")
        try:
            await busy.recv()
        except ConnectionClosed as closed:
            why = f"{closed.rcvd.code} {closed.rcvd.reason}".rstrip() if closed.rcvd else "nothing"
            self.closed = Event(why, self._stage.seconds())
            self._say("busy", f"is closed with {why}")
        else:
            self.answered = self._stage.seconds()
            self._say("busy", "has its first answer")

    async def _watch_frozen(self, port: int, client: int) -> None:
        """Wait until frozen's handler is told and its socket is gone, but only so long."""

        def noticed() -> bool:
            if "frozen" not in self.told:
                self.held = kernel.held(port, client)
            return "frozen" in self.told

        await self._until(noticed)
        if kernel.LINUX:
            self._say("frozen", f"the kernel held {kernel.size(self.held)} for it")
            if await self._until(lambda: kernel.held(port, client) is None):
                self.freed = self._stage.seconds()
                self._say("frozen", "the kernel holds nothing for it any more")

    async def _until(self, condition: Callable[[], bool], end: float = WATCHED) -> bool:
        while not condition():
            if self._stage.seconds() > end:
                return False
            await asyncio.sleep(0.05)
        return True
