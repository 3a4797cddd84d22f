"""What a keepalive is for, in ten seconds: `python examples/demo.py`.

Two uvicorns serve the chat of `fastapi_app.py`, one as it is, with `KeepaliveMiddleware`, the
other without it, with uvicorn's own keepalive set to the same times. Each has three clients:

- lively answers every Ping;
- silent stays connected, but from some moment on it answers nothing;
- frozen stops reading while the server streams to it, so that the server's `send` blocks.

What is printed is what happened: the servers' logs say what was pinged and what the application
was told, the kernel (on Linux) what it holds for the frozen client. The exit status is 0 if the
first server noticed and let go of both dead clients in time, and kept the lively one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from asgi_keepalive import Keepalive
from asgi_keepalive.settings import Settings

INTERVAL = TIMEOUT = CLOSE_TIMEOUT = 1.0
SETTINGS = {
    "PING_INTERVAL": str(INTERVAL),
    "PING_TIMEOUT": str(TIMEOUT),
    "CLOSE_TIMEOUT": str(CLOSE_TIMEOUT),
}
MARGIN = 1.5  # how late a busy machine may make anything, in seconds
WATCHED = 6.0  # how long the dead clients are watched
LIMIT = 18.0  # how long everything may take

HERE = Path(__file__).parent
LOG_LINE = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (\S+) (.*)")
LAST_WORDS = "still here"

PROC_NET_TCP = Path("/proc/net/tcp")
LINUX = PROC_NET_TCP.exists()


def without_middleware() -> Any:
    """Make the second server's application: the same, without `KeepaliveMiddleware`."""
    from fastapi_app import app

    app.user_middleware.clear()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":  # the chat asks for a latency: there is none
            scope["state"]["keepalive"] = Keepalive(Settings())
        await app(scope, receive, send)

    return application


class Failure(Exception):
    """The demo cannot show what it promises."""


class Told(NamedTuple):
    """What the application was told about a dead client, and how long after its death."""

    what: str
    after: float


class Server:
    """One uvicorn, its three clients, and what has become of them.

    Attributes:
        told: What the application was told, by the name of the client.
        held: What the kernel held for frozen before the application was told.
        freed_after: When it held nothing any more, in seconds after frozen's death.
        latency: Lively's, in seconds, as the application knows it.
        kept: Whether lively could still chat in the end.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.told: dict[str, Told] = {}
        self.held: str | None = None
        self.freed_after: float | None = None
        self.latency: float | None = None
        self.kept = False
        self._began = self._died = time.monotonic()
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._names: dict[int, str] = {}  # of the clients, by port
        self._clients: list[ClientConnection] = []

    async def run(self, *arguments: str) -> None:
        """Start the server, let the clients play, and stop the server in any case."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "--port", "0"),
            *("--log-config", str(HERE / "demo_log.json"), *arguments),
            env={**os.environ, **SETTINGS},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
        assert process.stdout is not None
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read_log(process.stdout))
                await self._play(await self._port)
                reading.cancel()
        finally:
            for client in self._clients:
                client.transport.abort()
            # Not terminate: the frozen client would keep the server without middleware running.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _say(self, who: str, what: str) -> None:
        seconds = time.monotonic() - self._began
        print(f"{seconds:5.2f}  {self.label:<10}  {who:<6}  {what}", flush=True)

    # The server's log.

    async def _read_log(self, output: asyncio.StreamReader) -> None:
        line = "it logged nothing"
        async for raw in output:
            line = raw.decode(errors="replace").rstrip()
            match = LOG_LINE.fullmatch(line)
            self._logged(*(match.groups() if match else ("ERROR", "", line)))
        raise Failure(f"{self.label}: the server has ended: {line}")

    def _logged(self, level: str, logger: str, message: str) -> None:
        if logger == "asgi_keepalive":
            address, _, event = message.partition(" ")
            name = self._names.get(int(address.rpartition(":")[2]), "")
            self._say(name, event.partition(": ")[2])
        elif logger == "chat":
            name, _, what = message.partition(" ")
            self.told[name] = Told(what, time.monotonic() - self._died)
            self._say(name, f"the application is told: {what}")
        elif message.startswith("Uvicorn running on"):
            self._port.set_result(int(message.partition(" (")[0].rpartition(":")[2]))
        elif level not in ("DEBUG", "INFO"):
            self._say("", message)

    # The clients.

    async def _play(self, port: int) -> None:
        lively = await self._connect("lively", port, "/ws")
        chatting = asyncio.create_task(self._chat(lively))
        silent = await self._connect("silent", port, "/ws")
        frozen = await self._connect("frozen", port, "/stream")
        await silent.recv()
        await frozen.recv()
        self._died = time.monotonic()
        silent.transport.pause_reading()
        self._say("silent", "answers nothing from now on")
        frozen.transport.pause_reading()
        self._say("frozen", "reads nothing from now on")
        await self._watch(port, frozen.local_address[1])
        with contextlib.suppress(ConnectionClosed):
            await lively.send(LAST_WORDS)
        await asyncio.wait([chatting], timeout=MARGIN)
        chatting.cancel()

    async def _connect(self, name: str, port: int, path: str) -> ClientConnection:
        sock = socket.create_connection(("127.0.0.1", port))
        self._names[sock.getsockname()[1]] = name
        uri = f"ws://127.0.0.1:{port}{path}?name={name}"
        client = await connect(uri, sock=sock, ping_interval=None, compression=None)
        self._clients.append(client)
        return client

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

    async def _watch(self, port: int, frozen: int) -> None:
        """Wait until both are noticed and frozen's socket is gone, but only so long."""

        def noticed() -> bool:
            if "frozen" not in self.told:
                self.held = kernel_holds(port, frozen)
            return "frozen" in self.told

        await self._until(noticed)
        if LINUX:
            self._say("frozen", f"the kernel holds {self.held} for it")
            if await self._until(lambda: kernel_holds(port, frozen) is None):
                self.freed_after = time.monotonic() - self._died
                self._say("frozen", "the kernel holds nothing for it any more")
        await self._until(lambda: "silent" in self.told)

    async def _until(self, condition: Callable[[], bool]) -> bool:
        while not condition():
            if time.monotonic() - self._died > WATCHED:
                return False
            await asyncio.sleep(0.02)
        return True

    # What has come of it.

    def outcome(self) -> Iterator[tuple[str, str]]:
        """Give the questions one may ask, and their answers."""
        for name in "silent", "frozen":
            what, after = self.told.get(name, Told("", 0))
            told = f"{what} after {after:.2f} s" if what else f"nothing in {WATCHED:g} s"
            yield f"{name}: application told", told
        gone = "still there" if self.freed_after is None else f"gone after {self.freed_after:.2f} s"
        yield "frozen: kernel holds", f"{self.held}, {gone}" if LINUX else "not looked at"
        yield "lively: latency", f"{self.latency * 1000:.2f} ms" if self.latency else "unknown"

    def failures(self) -> Iterator[str]:
        """Say what `KeepaliveMiddleware` promises and this server has not done."""
        for name in "silent", "frozen":
            what, after = self.told.get(name, Told("nothing", WATCHED))
            if not what.startswith("timed out"):
                yield f"the application was told of {name}: {what}"
            elif after > INTERVAL + TIMEOUT + MARGIN:
                yield f"the application was told of {name} after {after:.2f} s only"
        if LINUX and self.freed_after is None:
            yield f"the kernel still holds for frozen: {self.held}"
        if self.latency is None:
            yield "lively has no latency"
        if not self.kept:
            yield "lively was not kept"


def kernel_holds(server: int, client: int) -> str | None:
    """Say how much waits at the server's end of a connection; `None` if that is gone."""
    for line in PROC_NET_TCP.read_text().splitlines()[1:] if LINUX else ():
        _, local, remote, _, queues, *_ = line.split()
        if [int(end.rpartition(":")[2], 16) for end in (local, remote)] == [server, client]:
            return f"{int(queues.partition(':')[0], 16) / 1024:,.0f} KiB"
    return None


async def play() -> None:
    """Run both servers and compare them; a `Failure` if the first breaks a promise."""
    first, second = Server("middleware"), Server("uvicorn")
    own = f"--ws-ping-interval {INTERVAL} --ws-ping-timeout {TIMEOUT}".split()
    try:
        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
            tasks.create_task(first.run("fastapi_app:app"))
            tasks.create_task(second.run("--factory", "demo:without_middleware", *own))
    except TimeoutError:
        raise Failure(f"not finished within {LIMIT:g} s") from None
    print(f"\n{'':24}  {'KeepaliveMiddleware':<29}  uvicorn's own keepalive")
    for (question, answer), other in zip(first.outcome(), second.outcome(), strict=True):
        print(f"{question:<24}  {answer:<29}  {other[1]}")
    print()
    if failures := list(first.failures()):
        raise Failure("; ".join(failures))


def main() -> int:
    """Return the exit status; the last line printed says why."""
    # As Ctrl-C does, for the servers to be stopped; asyncio.run then cancels `play`.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    print(f"A Ping every {INTERVAL:g} s, to be answered within {TIMEOUT:g} s.\n")
    try:
        asyncio.run(play())
    except KeyboardInterrupt:
        print("FAILED: interrupted")
    except Exception as error:
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        print(f"FAILED: {str(cause) or repr(cause)}")
    else:
        print("OK: with the middleware, both dead clients were noticed and let go of in time.")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
