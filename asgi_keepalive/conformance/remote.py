"""The checks' side of the application that runs in the server."""

from __future__ import annotations

import itertools
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, cast

from .messages import decoded, encoded
from .outcomes import Failed, Trace
from .peer import PATIENCE


class Pong(NamedTuple):
    """A call of `on_pong`.

    Attributes:
        number: Of the `take_over` that gave the callback.
        at: What it was called with as its time.
        told: The application's own reading of the clock, at the call.
        here: Whether it was called in the event loop's thread.
    """

    number: int
    payload: bytes
    at: float
    told: float
    here: bool


class Pause(NamedTuple):
    """A call of `on_read_paused`."""

    number: int
    paused: bool
    at: float
    told: float


class Closing(NamedTuple):
    """A call of `on_closing`."""

    number: int
    here: bool


class Exit(NamedTuple):
    """A call of `on_exit`.

    Attributes:
        grace: What it was called with.
        at: When it was called, by the clock of the machine.
    """

    number: int
    grace: float
    at: float
    here: bool

    @property
    def end(self) -> float:
        """Until when the server leaves the connection alone."""
        return self.at + self.grace


class Task:
    """Steps that the application performs."""

    def __init__(self, remote: Remote, number: int) -> None:
        self._remote, self.number = remote, number

    @property
    def is_done(self) -> bool:
        """Whether all steps have been performed."""
        return self.number in self._remote.done

    def outcomes(self, timeout: float = PATIENCE) -> list[Any]:
        """Return what the steps returned or raised."""
        self._remote.wait(lambda: self.is_done, "a call in the application did not end", timeout)
        outcomes = self._remote.done[self.number]
        if not outcomes:
            raise Failed("a call in the application was cancelled")
        return outcomes

    def result(self, timeout: float = PATIENCE) -> Any:
        """Return what the last step returned."""
        outcome = self.outcomes(timeout)[-1]
        if "raised" in outcome:
            raise Failed(f"{outcome['text']} was raised")
        return outcome["value"]

    def raises(self, name: str, timeout: float = PATIENCE) -> str:
        """Return what the last step raised, which must be of this class."""
        outcome = self.outcomes(timeout)[-1]
        raised = outcome.get("raised")
        if raised is None:
            raise Failed(f"no {name} was raised")
        if name not in raised:
            raise Failed(f"{outcome['text']} was raised, which is no {name}")
        return str(raised[0])


class Remote:
    """The application of one connection.

    Attributes:
        functions: What the server offers.
        loop: The module of its event loop.
        order: What has been told: `pong`, `closing`, `paused` and `exit`.
        done: The outcomes of the steps of each task.
        has_left: Whether its process has exited, or it has seen enough.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.functions: set[str] = set()
        self.loop = ""
        self.pongs: list[Pong] = []
        self.pauses: list[Pause] = []
        self.closings: list[Closing] = []
        self.exits: list[Exit] = []
        self.order: list[str] = []
        self.done: dict[int, list[Any]] = {}
        self.is_known = False
        self.has_left = False
        self._connection: socket.socket
        self._numbers = itertools.count()
        self._news = threading.Condition()

    def join(self, connection: socket.socket, functions: list[str], loop: str) -> None:
        """The application has been called."""
        with self._news:
            self._connection, self.functions, self.loop = connection, set(functions), loop
            self.is_known = True
            self._news.notify_all()

    def close(self) -> None:
        """Have seen enough: the application returns, if it has not."""
        if self.is_known:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)

    def hear(self, what: str, *arguments: Any) -> None:
        """Note what the application tells."""
        with self._news:
            if what == "done":
                self.done[arguments[0]] = arguments[1]
            else:
                self._note(what, arguments)
            self._news.notify_all()

    def _note(self, what: str, arguments: tuple[Any, ...]) -> None:
        self.order.append(what)
        if what == "pong":
            self.pongs.append(Pong(*arguments))
        elif what == "paused":
            self.pauses.append(Pause(*arguments))
        elif what == "exit":
            self.exits.append(Exit(*arguments))
        else:
            self.closings.append(Closing(*arguments))
        self.trace(f"application is told {what} {arguments[1] if what != 'closing' else ''}")

    def wait(
        self, condition: Callable[[], object], otherwise: str, timeout: float = PATIENCE
    ) -> None:
        """Wait until a condition of what the application has told holds."""
        with self._news:
            if not self._news.wait_for(condition, timeout):
                raise Failed(otherwise)

    def begin(self, *steps: tuple[Any, ...]) -> Task:
        """Let the application perform steps, one right after the other."""
        self.wait(lambda: self.is_known, "the application was not called")
        number = next(self._numbers)
        self.trace(f"application: {'; '.join(step[0] + _shown(step[1:]) for step in steps)}")
        with suppress(OSError):  # if the server has gone, the wait for the outcome says so
            self._connection.sendall(encoded([number, steps]))
        return Task(self, number)

    def do(self, *step: Any) -> Any:
        """Return what a step returns."""
        return self.begin(step).result()

    def call(self, name: str, *arguments: Any) -> Any:
        """Return what a function of the extension returns."""
        return self.do("call", name, *arguments)

    def refuses(self, error: str, *step: Any) -> str:
        """Return the class of the error that a step raises, which must be of this class."""
        return self.begin(step).raises(error)

    def send(self, kind: str, **event: Any) -> Any:
        """Send an event."""
        return self.do("send", kind, event)

    def closed(self) -> None:
        """Wait until `on_closing` has been called."""
        self.wait(lambda: self.closings, "on_closing was not called")

    def blocked(self, size: int = 65536) -> tuple[Task, int]:
        """Send until a `send` waits; return its task, and how many messages were sent before."""
        stream = self.begin(("stream", size))
        before, sent = -1, 0
        while before != sent:
            time.sleep(0.15)
            before, sent = sent, self.do("sent")
        return stream, sent

    def end(self) -> None:
        """Let the application return."""
        self.begin(("end",))


def _shown(arguments: tuple[Any, ...]) -> str:
    return "".join(f" {argument!r:.40}" for argument in arguments)


class Control(socketserver.ThreadingTCPServer):
    """Listens for the applications."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.port: int = self.server_address[1]
        self._numbers = itertools.count()
        self._waiting: dict[int, Remote] = {}
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def expect(self, trace: Trace) -> tuple[str, Remote]:
        """Return the path of a new connection, and its application."""
        number = next(self._numbers)
        self._waiting[number] = Remote(trace)
        return f"/{self.port}/{number}", self._waiting[number]

    def join(self, number: int, *application: Any) -> Remote:
        """Return the application of a connection, which has been called."""
        remote = self._waiting.pop(number)
        remote.join(*application)
        return remote

    def stop(self) -> None:
        """Listen no more."""
        self.shutdown()
        self.server_close()


class Handler(socketserver.StreamRequestHandler):
    """Hears one application."""

    def handle(self) -> None:
        """Hear it until it has gone."""
        number, *application = decoded(self.rfile.readline())
        remote = cast(Control, self.server).join(number, self.connection, *application)
        with suppress(OSError):
            for line in self.rfile:
                remote.hear(*decoded(line))
        remote.has_left = True
