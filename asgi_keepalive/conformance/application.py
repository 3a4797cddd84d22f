"""The ASGI application that runs in the server, and does what it is told from outside.

The path of a WebSocket, `/PORT/NUMBER`, names the port on which the checks listen, and the
connection. A line from there is a task: its number, and its steps. Each step is the name of a
method of `Session` and its arguments. A line to there begins with what has happened.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from contextlib import suppress
from typing import Any

from ..extension import EXTENSION, Receive, Scope, Send, Server
from ..servers import find
from .messages import decoded, encoded

MOST = 32 * 2**20
"""So many bytes are sent at the most to a peer that does not read: some servers never block."""

_sessions: set[asyncio.Task[None]] = set()
"""They go on when the application has returned; asyncio itself does not keep them."""


DELIBERATE = "the application raises this for a check"
"""The message of an exception that may be logged."""


class Session:
    """One connection, and the application's side of what is checked on it."""

    def __init__(self, server: Server, writer: asyncio.StreamWriter) -> None:
        self.server, self.writer = server, writer
        self.ends: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.callbacks: list[weakref.ref[Any]] = []
        self.thread = threading.get_ident()
        self.sends = self.closings = 0

    def tell(self, *message: Any) -> None:
        """Tell the checks what has happened."""
        if not self.writer.is_closing():
            self.writer.write(encoded(message))

    async def obey(self, reader: asyncio.StreamReader) -> None:
        """Begin each task as it comes, until the checks have seen enough."""
        try:
            async for line in reader:
                number, steps = decoded(line)
                self.tasks[number] = asyncio.create_task(self.perform(number, steps))
        finally:
            for task in self.tasks.values():
                task.cancel()
            await self.end()
            self.writer.close()
            with suppress(OSError):
                await self.writer.wait_closed()

    async def perform(self, number: int, steps: list[list[Any]]) -> None:
        """Perform the steps of a task, and tell what each returned or raised."""
        outcomes: list[dict[str, Any]] = []
        try:
            for name, *arguments in steps:
                outcomes.append(await self.outcome(name, arguments))
        finally:
            self.tell("done", number, outcomes)

    async def outcome(self, name: str, arguments: list[Any]) -> dict[str, Any]:
        """Perform a step."""
        try:
            value = await getattr(self, name)(*arguments)
        except Exception as exc:
            raised = [cls.__name__ for cls in type(exc).__mro__]
            return {"raised": raised, "text": repr(exc), "at": time.monotonic()}
        return {"value": value, "at": time.monotonic()}

    # The steps. All but the first four return before the event loop goes on.

    async def receive(self) -> Any:
        """Return the next event."""
        return await self.server.receive()

    async def send(self, kind: str, event: dict[str, Any]) -> None:
        """Send an event."""
        send = self.server.send_message if kind == "send" else self.server.send
        await send({"type": f"websocket.{kind}", **event})

    async def zeros(self, size: int) -> None:
        """Send one message."""
        await self.send("send", {"bytes": bytes(size)})

    async def stream(self, size: int) -> None:
        """Send messages until one raises."""
        for _ in range(MOST // size):
            await self.zeros(size)
            self.sends += 1
            await asyncio.sleep(0)

    async def sent(self) -> int:
        """Return how many messages of `stream` have been sent."""
        return self.sends

    async def cancel(self, number: int) -> None:
        """Cancel a task."""
        self.tasks[number].cancel()

    async def end(self, fails: bool = False) -> None:
        """Let the application return or raise."""
        if self.ends.done():
            return
        if fails:
            self.ends.set_exception(ValueError(DELIBERATE))
        else:
            self.ends.set_result(None)

    async def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the extension."""
        return self.server.extension[name](*arguments)

    async def take_over(self, reason: str | None = None) -> int:
        """Take the connection over; return how often `on_closing` has been called by then.

        With a reason, `on_pong` fails the connection.
        """
        number = len(self.callbacks)

        def on_pong(payload: bytes, at: float) -> None:
            here = threading.get_ident() == self.thread
            self.tell("pong", number, payload, at, time.monotonic(), here)
            if reason is not None:
                with suppress(OSError):  # it is called again
                    self.server.extension["fail"](4000, reason, 1.0)

        def on_closing() -> None:
            self.closings += 1
            self.tell("closing", number, threading.get_ident() == self.thread)

        self.callbacks += weakref.ref(on_pong), weakref.ref(on_closing)
        self.server.extension["take_over"](on_pong, on_closing)
        return self.closings

    async def read_ahead(self) -> None:
        """Let the server read ahead."""
        number = len(self.callbacks)

        def on_read_paused(paused: bool, at: float) -> None:
            self.tell("paused", number, paused, at, time.monotonic())

        self.callbacks.append(weakref.ref(on_read_paused))
        self.server.extension["read_ahead"](on_read_paused)

    async def announce_exit(self) -> None:
        """Let the server tell of its exit."""
        number = len(self.callbacks)

        def on_exit(grace: float) -> None:
            here = threading.get_ident() == self.thread
            self.tell("exit", number, grace, time.monotonic(), here)

        self.callbacks.append(weakref.ref(on_exit))
        self.server.extension["announce_exit"](on_exit)

    async def held(self) -> list[int]:
        """Return the numbers of the callbacks to which anything refers."""
        if any(callback() is not None for callback in self.callbacks):
            gc.collect()
        return [number for number, one in enumerate(self.callbacks) if one() is not None]


async def _run(scope: Scope, server: Server) -> None:
    port, number = scope["path"].split("/")[-2:]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    session = Session(server, writer)
    functions = [name for name, value in server.extension.items() if callable(value)]
    loop = type(asyncio.get_running_loop()).__module__
    session.tell(int(number), functions, loop)
    task = asyncio.create_task(session.obey(reader))
    _sessions.add(task)
    task.add_done_callback(_sessions.discard)
    await session.ends


async def _serve_others(scope: Scope, receive: Receive, send: Send) -> None:
    """Agree to start and to exit, and answer a request in short."""
    if scope["type"] == "lifespan":
        for done in "startup", "shutdown":
            await receive()
            await send({"type": f"lifespan.{done}.complete"})
    else:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Use what the server declares in the scope."""
    if scope["type"] == "websocket":
        extension = (scope.get("extensions") or {}).get(EXTENSION) or {}
        await _run(scope, Server(receive, send, extension, send))
    else:
        await _serve_others(scope, receive, send)


async def adapted(scope: Scope, receive: Receive, send: Send) -> None:
    """Use what an adapter of asgi-keepalive adds to a server that declares nothing."""
    if scope["type"] == "websocket":
        server = find(scope, receive, send)
        await _run(scope, server if isinstance(server, Server) else Server(receive, send, {}, send))
    else:
        await _serve_others(scope, receive, send)
