"""An event loop on which waiting takes no time, and both ends of a connection on it.

Server and application do only what the test says; the middleware between them is the real one.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import selectors
import time
import weakref
from collections.abc import Callable, Collection, Coroutine
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, Unpack
from unittest import mock

from asgi_keepalive import KeepaliveMiddleware, crowd, get_keepalive
from asgi_keepalive.extension import Application, Event, Scope

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START = 1_000_000.0
"""When time begins: not at zero, which code might take for "never"."""

RESOLUTION = time.get_clock_info("monotonic").resolution
"""asyncio takes a timer that is earlier than this for due."""


class FakeLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of sleeping; `run` lets `time.monotonic` follow."""

    def __init__(self) -> None:
        self.now = START
        self.errors: list[dict[str, Any]] = []
        self._handles: list[weakref.ref[asyncio.TimerHandle]] = []
        super().__init__(_Selector(self))
        self.set_exception_handler(lambda loop, context: self.errors.append(context))

    def stall(self, seconds: float) -> None:
        """Let time pass while nothing else can run."""
        self.now += seconds

    def timers(self) -> list[asyncio.TimerHandle]:
        """Return the timers that have yet to fire."""
        handles = [handle for reference in self._handles if (handle := reference())]
        return [
            handle
            for handle in handles
            if handle.when() >= self.now + RESOLUTION and not handle.cancelled()
        ]

    def time(self) -> float:
        return self.now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        self._handles.append(weakref.ref(handle))
        return handle


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: FakeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits, and nothing will ever happen"
            self._loop.now += timeout
        return ready


def fake_loop() -> FakeLoop:
    """Return the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeLoop)
    return loop


def elapsed() -> float:
    """Return the seconds since the test began."""
    return time.monotonic() - START


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in no time; nothing may go wrong unseen, and no crowd may be left."""
    loop = FakeLoop()
    try:
        with (
            mock.patch.object(time, "monotonic", loop.time),
            asyncio.Runner(loop_factory=lambda: loop) as runner,
        ):
            result = runner.run(main)
    finally:
        left = crowd._crowds.pop(loop, None)
    assert loop.errors == [], loop.errors
    assert left is None
    return result


def in_no_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of a coroutine function; it runs on a `FakeLoop`."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return wrapper


async def ticks(count: int = 5) -> None:
    """Let everything run that is ready to, and what that makes ready in turn."""
    for _ in range(count):
        await asyncio.sleep(0)


class FakeServer:
    """One connection of a server that offers the `websocket.ping` extension.

    Args:
        app: The application, the middleware included.
        pong_after: How long after its Ping each Pong comes, in seconds; `None` for a silent peer.
        lacks: The functions of the extension that it does not offer.
        scope: Keys of the scope that differ from the usual.
    """

    def __init__(
        self,
        app: Application,
        *,
        pong_after: float | None = None,
        lacks: Collection[str] = (),
        **scope: Any,
    ) -> None:
        functions: dict[str, Any] = {
            "take_over": self._take_over,
            "ping": self._ping,
            "fail": self._fail,
            "read_ahead": self._read_ahead,
            "bound_closing": self._bound_closing,
            "traffic": lambda: self.tell_traffic(),
            "buffered": lambda: self.tell_buffered(),
            "announce_exit": self._announce_exit,
        }
        extension = {name: call for name, call in functions.items() if name not in lacks}
        self.scope: Scope = {
            "type": "websocket",
            "path": "/chat",
            "client": ("192.0.2.1", 50000),
            "extensions": {"websocket.ping": extension, "websocket.http.response": {}},
            "state": {},
            **scope,
        }
        self.pong_after = pong_after
        self.is_open = True
        self.close_timeout: float | None = None
        self.traffic: Any = {}
        self.tell_traffic: Callable[[], Any] = lambda: self.traffic
        self.buffered = 0
        self.tell_buffered: Callable[[], Any] = lambda: self.buffered
        self.on_pong: Any = None
        self.on_closing: Any = None
        self.on_read_paused: Any = None
        self.on_exit: Any = None
        self.writable = asyncio.Event()
        self.writable.set()
        self.incoming: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self.sent: list[Event] = []  # by the application
        self.pings: list[bytes] = []
        self.pinged_at: list[float] = []
        self.failures: list[tuple[int, str, float]] = []
        self.failed_at: float | None = None
        self.on_accept: Callable[[], object] = lambda: None
        self.on_ping: Callable[[], object] = lambda: None
        self.on_fail: Callable[[], object] = lambda: None
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(self._run(app))

    async def _run(self, app: Application) -> None:
        try:
            await app(self.scope, self._receive, self._send)
        finally:
            self.closing()

    async def _receive(self) -> Event:
        event = await self.incoming.get()
        if isinstance(event, Exception):
            try:
                raise event
            finally:
                del event  # or it would hold the frame, and the frame it
        return event

    async def _send(self, event: Event) -> None:
        await self.writable.wait()
        self._must_be_open()
        self.sent.append(event)
        kind = event["type"]
        if kind == "websocket.close":
            self.is_open = False
            self.closing()
        if kind == "websocket.accept":
            self.on_accept()

    def _take_over(self, on_pong: Any, on_closing: Any) -> None:
        self.on_pong, self.on_closing = on_pong, on_closing

    def _read_ahead(self, on_read_paused: Any) -> None:
        self.on_read_paused = on_read_paused

    def _announce_exit(self, on_exit: Any) -> None:
        self.on_exit = on_exit

    def _bound_closing(self, timeout: float) -> None:
        self.close_timeout = timeout

    def _ping(self, payload: bytes) -> None:
        self._must_be_open()
        self.on_ping()
        self.pings.append(payload)
        self.pinged_at.append(elapsed())
        if self.pong_after is not None:
            fake_loop().call_later(self.pong_after, self.pong, payload)

    def _fail(self, code: int, reason: str, timeout: float) -> None:
        self._must_be_open()
        self.is_open = False
        self.failures.append((code, reason, timeout))
        self.failed_at = elapsed()
        self._drop_callbacks()
        self.on_fail()

    def _drop_callbacks(self) -> None:
        self.on_pong = self.on_closing = self.on_read_paused = None

    def _must_be_open(self) -> None:
        if not self.is_open:
            raise ConnectionError("the WebSocket connection is not open")

    def pong(self, payload: bytes) -> None:
        """A Pong comes from the peer."""
        if self.on_pong is not None:
            self.on_pong(payload, time.monotonic())

    def closing(self) -> None:
        """The connection begins to close."""
        on_closing = self.on_closing
        self._drop_callbacks()
        if on_closing is not None:
            on_closing()

    def text(self, text: str) -> Event:
        """A message comes from the peer."""
        event = {"type": "websocket.receive", "text": text}
        self.incoming.put_nowait(event)
        return event

    def disconnect(self, code: int) -> Event:
        """The connection is gone, for another reason than a failure."""
        self.is_open = False
        event = {"type": "websocket.disconnect", "code": code, "reason": ""}
        self.incoming.put_nowait(event)
        self.closing()
        return event


class Puppet:
    """An application that accepts; what it does then is up to the test."""

    def __init__(self) -> None:
        self._returns = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        self.keepalive = get_keepalive(scope)
        await receive()
        await send({"type": "websocket.accept"})
        await self._returns.wait()

    async def text(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    async def close(self) -> None:
        await self.send({"type": "websocket.close"})

    def returns(self) -> None:
        self._returns.set()


async def accepted(
    *,
    pong_after: float | None = None,
    lacks: Collection[str] = (),
    scope: Scope | None = None,
    **settings: Any,
) -> tuple[FakeServer, Puppet]:
    """Return both ends of a connection that has just been accepted, behind the middleware."""
    app = Puppet()
    wrapped = KeepaliveMiddleware(app, **settings)
    server = FakeServer(wrapped, pong_after=pong_after, lacks=lacks, **(scope or {}))
    await ticks()
    assert server.sent[0]["type"] == "websocket.accept"
    return server, app
