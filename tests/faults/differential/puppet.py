"""The application of a play: it does what it is told, and notes what it is told by the server."""

from __future__ import annotations

import asyncio
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MUCH = 64
"""Of a longer message only length and checksum are noted."""


TURNS = 4
"""Of the event loop, before each thing that an application does."""


LISTENS = {"listen": "receive", "echo": "receive", "refuse": "receive"}
"""What those wait for."""


class Note(NamedTuple):
    """Something that an application was told, or did.

    Attributes:
        what: What it called, or "left" for its own end.
        result: The event that `receive` returned, or the kind of an exception.
        move: The number of the move in which it happened.
        at: Monotonic seconds.
        aside: Whether it was in a task of its own, while the application waited.
    """

    what: str
    result: Any
    move: int
    at: float
    aside: bool


class Asked(Exception):
    """An application fails with it, when told so."""


@dataclass
class Part:
    """An application's part in a play.

    Attributes:
        escapes: Whether an `OSError` of `send` leaves the application.
        move: The number of the present move.
        notes: What has happened to it.
        task: Runs the application; there is none before the server has called it.
        doing: The command it carries out.
        over: Whether the application has returned or failed.
    """

    escapes: bool = False
    move: int = 0
    notes: list[Note] = field(default_factory=list)
    task: asyncio.Task[Any] | None = None
    doing: str | None = None
    over: bool = False
    commands: asyncio.Queue[tuple[Any, ...]] = field(default_factory=asyncio.Queue)
    withdrawn: bool = False
    calls: tuple[Any, ...] = ()
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def note(self, what: str, result: Any = None) -> None:
        aside = asyncio.current_task() in self.tasks
        self.notes.append(Note(what, result, self.move, time.monotonic(), aside))

    @property
    def is_busy(self) -> bool:
        """Whether it carries out a command, or has one before it."""
        return not self.over and self.task is not None and bool(self.doing or self.commands.qsize())

    # What a test has it do; called in the server's thread.

    def command(self, *command: Any) -> None:
        self.commands.put_nowait(command)

    def withdraw(self) -> None:
        """Give up what it waits for, as `asyncio.timeout` does."""
        if self.task is not None and self.doing is not None:
            self.withdrawn = True
            self.task.cancel()

    def aside(self, what: str, *arguments: Any) -> None:
        """Do something in a task of its own, while the application waits for something else."""
        call = getattr(self, f"_{what}")(*self.calls, *arguments)
        task = asyncio.get_running_loop().create_task(call)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # as noted
        self.tasks.append(task)

    def cancel(self) -> None:
        """Cancel the application."""
        if self.task is not None:
            self.task.cancel()

    # What it does.

    async def play(self, scope: Any, receive: Any, send: Any) -> None:
        self.task = asyncio.current_task()
        self.calls = scope, receive, send
        assert self.task is not None
        try:
            while (command := await self.commands.get())[0] != "return":
                self.doing = command[0]
                try:
                    await turns()
                    await getattr(self, f"_{command[0]}")(scope, receive, send, *command[1:])
                except asyncio.CancelledError:
                    if not self.withdrawn:
                        raise
                    self.withdrawn = False
                    self.task.uncancel()
                    self.note(LISTENS.get(self.doing, self.doing), "waits")
                finally:
                    self.doing = None
        except BaseException as error:
            self.note("left", kind(error))
            raise
        else:
            self.note("left")
        finally:
            self.over = True

    async def _receive(self, scope: Any, receive: Any, send: Any) -> Any:
        event = await receive()
        self.note("receive", short(event))
        return event

    async def _listen(self, scope: Any, receive: Any, send: Any) -> None:
        """Receive until the end."""
        while (await self._receive(scope, receive, send))["type"] != "websocket.disconnect":
            pass

    async def _echo(self, scope: Any, receive: Any, send: Any) -> None:
        """Send back what comes until the end."""
        while (event := await self._receive(scope, receive, send))["type"] == "websocket.receive":
            await turns()
            # Plain servers differ in whether they raise behind a protocol error of the client.
            with suppress(OSError, RuntimeError):
                await send({**event, "type": "websocket.send"})

    async def _refuse(self, scope: Any, receive: Any, send: Any) -> None:
        """Receive until the end, and close at the first message."""
        closed = False
        while (await self._receive(scope, receive, send))["type"] == "websocket.receive":
            if not closed:
                closed = True
                await turns()
                await self._close(scope, receive, send, 4000)

    async def _accept(self, scope: Any, receive: Any, send: Any) -> None:
        await self._call(send, "accept", {"type": "websocket.accept"})

    async def _send(self, scope: Any, receive: Any, send: Any, size: int) -> None:
        event = {"type": "websocket.send", "bytes": bytes(size)}
        await self._call(send, "send", event)

    async def _close(self, scope: Any, receive: Any, send: Any, code: int) -> None:
        await self._call(send, "close", {"type": "websocket.close", "code": code})

    async def _several(self, scope: Any, receive: Any, send: Any, *commands: Any) -> None:
        """Do several things at once."""
        for what, *arguments in commands:
            await getattr(self, f"_{what}")(scope, receive, send, *arguments)

    async def _bye(self, scope: Any, receive: Any, send: Any, code: int) -> None:
        """Close, and return in the same turn of the event loop."""
        await self._close(scope, receive, send, code)
        self.commands = asyncio.Queue()
        self.command("return")

    async def _deny(self, scope: Any, receive: Any, send: Any, status: int) -> None:
        """Send a denial response, where there is such an extension."""
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await self._close(scope, receive, send, 1000)
            return
        start = {"type": "websocket.http.response.start", "status": status, "headers": []}
        await self._call(send, "deny", start)
        for body, more in (b"No", True), (b", indeed.", False):
            event = {"type": "websocket.http.response.body", "body": body, "more_body": more}
            await self._call(send, "deny", event)

    async def _fail(self, scope: Any, receive: Any, send: Any) -> None:
        raise Asked

    async def _call(self, send: Any, what: str, event: Any) -> None:
        try:
            await send(event)
        except Exception as error:
            self.note(what, kind(error))
            if self.escapes:
                raise
        else:
            self.note(what)


async def turns() -> None:
    """Let the event loop turn: whether TCP has gone in the same turn is no matter."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Puppet:
    """An ASGI application; the path says which part each connection plays."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.parts[scope["path"]].play(scope, receive, send)


def kind(error: BaseException) -> str:
    """Return what matters of an exception: servers have classes of their own."""
    return "OSError" if isinstance(error, OSError) else type(error).__name__


def short(event: Any) -> Any:
    """Return an event without the contents of a long message."""
    return {key: _short(value) for key, value in event.items()}


def _short(value: Any) -> Any:
    if isinstance(value, str | bytes) and len(value) > MUCH:
        data = value.encode() if isinstance(value, str) else value
        return f"{type(value).__name__} of {len(value)}, {zlib.crc32(data):08x}"
    return value
