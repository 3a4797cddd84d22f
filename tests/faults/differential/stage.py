"""One server, with the middleware or without, on which plays are performed.

A play is a list of moves of the client, the application and the server. After each the server's
event loop turns until nothing happens any more, so that a play has the same course each time, on
however busy a machine. Only what comes after the last move is a matter of time, and that is told in
three classes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from asgi_keepalive import KeepaliveMiddleware

from ...support.server import Server, all_kernel_sockets, running, wait_until
from ...support.serving import APPLICATION_FAILED, CANCELLED, Uvicorn, serving
from .ahead import AHEAD
from .frames import MAX_SIZE, NOISE
from .puppet import Note, Part, Puppet
from .wire import BINARY, PONG, TEXT, Frame, Wire, answering, frame

CLOSE_TIMEOUT = 1.0
"""Of the middleware, in seconds."""

AT_ONCE = 0.5
"""What takes no longer, in seconds, takes no time: machines are busy."""

LATE = 0.15
"""Seconds until a client answers that answers late; no server gives up so soon."""

HURRY = 0.002
"""Seconds in which an event loop does a few things."""

QUIET = 25
"""In so many turns of its event loop a server comes to what it has to do, if it does."""

LOOKS = 5
"""In each of so many turns daphne looks after applications that have ended."""

MAX_QUEUE = 32
"""Messages that may be unread: `ws_max_queue`."""

OPEN = {"01", "08"}
"""ESTABLISHED and CLOSE_WAIT, as /proc/net/tcp writes them."""

CERTAIN = 20.0
"""Seconds after which a server that does nothing is broken."""


class Move(NamedTuple):
    """What somebody does in a play."""

    who: str
    what: str
    arguments: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        arguments = ", ".join(map(repr, self.arguments))
        return f"{self.who}({self.what!r}{arguments and ', '}{arguments})"


def client(what: str, *arguments: Any) -> Move:
    """Let the client do something, see `_Performance._client`."""
    return Move("client", what, arguments)


def app(what: str, *arguments: Any) -> Move:
    """Let the application do what a `Part` can."""
    return Move("app", what, arguments)


def server(what: str) -> Move:
    """Let the server "stop"."""
    return Move("server", what)


OPENING = (app("receive"), app("accept"))
"""How most plays begin."""


@dataclass(frozen=True)
class Play:
    """What happens on a connection.

    Attributes:
        moves: In their order.
        answers: When the client answers a Close frame: "at once", "late" or "never".
        deflate: Whether the client offers permessage-deflate.
        early: What the client sends together with its handshake.
        escapes: Whether an `OSError` of `send` leaves the application.
        patience: Seconds in which something may still come of it.
        pause: Seconds that pass at least from one move to the next.
    """

    moves: tuple[Move, ...]
    answers: str = "at once"
    deflate: bool = False
    early: bytes = b""
    escapes: bool = False
    patience: float = CLOSE_TIMEOUT + AT_ONCE + 0.1
    pause: float = 0.0


@dataclass
class Outcome:
    """What came of a play.

    Attributes:
        head: The status and headers of the handshake's response.
        frames: What the client received, without Pings.
        end: How the server ended the connection, and when; `None` if the client did so before.
        told: What the application was told, and in which move or when after the last.
        freed: When the process let go of the socket.
        left: What was left behind of the connection.
        logged: What was logged as wrong, by kind.
        sent: What the client sent, in the order of its moves.
        behind: Whether the server had paused reading after some move.
        in_time: How many frames had come before the application was let go in the end.
    """

    head: list[str] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    end: tuple[str, str] | None = None
    told: list[tuple[str, Any, int | str]] = field(default_factory=list)
    freed: str = ""
    left: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    behind: bool = False
    in_time: int = 0


class Stage:
    """A running server, and the application that it serves.

    Args:
        kind: "behind" the middleware, "plain", or plain but reading "ahead" of the application
            as far as behind the middleware, or further.
        tls: What clients trust, over wss.
    """

    def __init__(self, kind: str, running: Server, puppet: Puppet, tls: ssl.SSLContext | None):
        self.kind = kind
        self.server = running
        self._puppet = puppet
        self._tls = tls
        self._paths = count()
        self._records = 0
        self._turns = 0
        self.stopping = False
        self._daphne = getattr(running, "_server", None) if is_daphne(running) else None

    def perform(self, play: Play, replay: list[bytes] | None = None) -> Outcome:
        """Return what comes of a play; the client sends what is to be replayed, if given."""
        path = f"/{next(self._paths)}"
        part = self._puppet.parts[path] = Part(escapes=play.escapes)
        wire = Wire(self.server.port, path, tls=self._tls, deflate=play.deflate, early=play.early)
        performance = _Performance(self, play, part, wire, replay)
        try:
            performance.run()
        finally:
            wire.close()
            del self._puppet.parts[path]
        outcome = performance.outcome
        self._collect()
        outcome.logged = self._logged()
        return outcome

    def turn(self) -> None:
        """Let the server's event loop turn once."""
        if not self.server.thread.is_alive():
            return
        if self.stopping:
            time.sleep(0.002)
        else:
            self._turns += 1
            looks = self._daphne is not None and self._turns % LOOKS == 0
            self.server.run(self._look if looks else lambda: None)

    @property
    def is_exiting(self) -> bool:
        """Whether the server still has something to do that is to stop."""
        return self.stopping and self.server.thread.is_alive()

    def stop(self) -> None:
        """Let the server exit; uvicorn looks ten times a second whether it is to."""
        self.stopping = True
        self.server.exit()
        if isinstance(self.server, Uvicorn):
            wait_until(lambda: self.server.socket.fileno() < 0)

    def run(self, function: Any) -> None:
        """Run a function in the server's thread."""
        if not self.stopping:
            self.server.run(function)
        elif self.server.loop is not None:
            with suppress(RuntimeError):  # it is closed
                self.server.loop.call_soon_threadsafe(function)

    def _collect(self) -> None:
        """Let asyncio log now that nobody has asked for a task's exception."""
        if self.stopping:
            gc.collect()
        else:
            self.server.run(gc.collect)

    def _look(self) -> None:
        """Let daphne look after ended applications and its Pings; by itself it does so each second.

        The latter even each other second only.
        """
        assert self._daphne is not None
        type(self._daphne).application_checker(self._daphne)
        for protocol in list(self._daphne.connections):
            protocol.check_timeouts()

    def holds(self, port: int) -> bool:
        """Whether the process has a descriptor of a client's connection."""
        found = all_kernel_sockets(self.server.port)
        return any(one.client_port == port and not one.orphaned for one in found)

    def leaves_unread(self, wire: Wire) -> bool:
        """Whether something that the client has sent stays in the kernel, or could not be sent."""
        return not wire.is_idle or unread(self.server.port, wire.port) > 0

    def hides_from(self, wire: Wire) -> bool:
        """Whether the server has paused reading and TLS takes from the kernel what comes."""
        if self._tls is None or not isinstance(self.server, Uvicorn):
            return False
        return any(
            (transport.get_extra_info("peername") or [None])[-1] == wire.port
            and not transport.is_reading()
            for transport in self.server.transports()
        )

    def _logged(self) -> list[str]:
        records = self.server.records[self._records :]
        self._records += len(records)
        thread = self.server.thread.ident
        wrong = [one for one in records if one.levelno >= logging.WARNING and one.thread == thread]
        return sorted(filter(None, map(logged_as, wrong)))


class _Performance:
    """One play on one stage."""

    def __init__(
        self, stage: Stage, play: Play, part: Part, wire: Wire, replay: list[bytes] | None
    ) -> None:
        self.outcome = Outcome()
        self._stage = stage
        self._play = play
        self._part = part
        self._wire = wire
        self._replay = None if replay is None else iter(replay)
        self._gone = False  # the client has reset the connection
        self._to_answer: bytes | None = None
        wire.on_close = self._on_close

    def run(self) -> None:
        self.settle()
        for number, move in enumerate(self._play.moves):
            self._part.move = number
            hid = self._stage.hides_from(self._wire) or move.what == "stream"
            getattr(self, f"_{move.who}")(move)
            if move.who == "app":
                self._hurry()
            self.settle()
            self.outcome.behind |= self._stage.leaves_unread(self._wire)
            if move.who == "client":
                self.outcome.behind |= hid and self._stage.hides_from(self._wire)
        self._part.move = len(self._play.moves)
        self._wait(self._play.patience)
        self._epilogue()
        self._wire.close()
        self._clean()
        outcome, wire = self.outcome, self._wire
        outcome.frames = wire.frames
        outcome.head = head_of(wire.head)

    # The moves.

    def _client(self, move: Move) -> None:
        what, arguments = move.what, move.arguments
        wire = self._wire
        if what == "send":
            wire.out += self._sent(arguments[0])
        elif what == "messages":
            messages = (frame(TEXT, b"%d" % one) for one in range(arguments[0]))
            wire.out += self._sent(b"".join(messages))
        elif what == "noise":
            wire.out += self._sent(NOISE[arguments[0]])
        elif what == "pong":
            if self._replay is None and not wire.ping:
                end = time.monotonic() + 1
                while not wire.ping and wire.end is None and time.monotonic() < end:
                    self._turn()
            wire.out += self._sent(frame(PONG, wire.ping or b""))
        elif what == "stream":
            wire.stream = streaming(*arguments)
        elif what == "dribble":
            self._dribble(*arguments)
        elif what in {"FIN", "cut"}:
            wire.stream = bytes
            wire.shut_down(what)
        elif what == "RST":
            self._gone = wire.end is None
            wire.reset()
        elif what in {"stop", "go on"}:
            wire.reads = what == "go on"

    def _dribble(self, seconds: float) -> None:
        """Send one long message, slowly, and answer nothing."""
        self._wire.out += frame(BINARY, bytes(60_000))[:8]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._wire.out += b"."
            self._turn()
            time.sleep(0.05)

    def _sent(self, data: bytes) -> bytes:
        if self._replay is not None:
            data = next(self._replay, data)
        self.outcome.sent.append(data)
        return data

    def _app(self, move: Move) -> None:
        part, stage = self._part, self._stage
        command = move.what, *move.arguments
        if move.what == "cancel":
            stage.run(part.cancel)
        elif not part.is_busy:
            stage.run(lambda: part.command(*command))
        elif move.what in {"close", "send"}:
            stage.run(lambda: part.aside(*command))
        elif move.what in {"return", "fail", "bye"}:  # it gives up what it waits for
            stage.run(part.withdraw)
            self.settle()
            stage.run(lambda: part.command(*command))

    def _server(self, move: Move) -> None:
        self._stage.stop()

    def _on_close(self, payload: bytes) -> bytes:
        if self._play.answers == "at once":
            return answering(payload)
        if self._play.answers == "late":
            self._to_answer = answering(payload)
        return b""

    # Time.

    def _turn(self) -> bool:
        before = len(self._part.notes)
        moved = self._wire.pump()
        self._stage.turn()
        return moved or len(self._part.notes) != before

    def settle(self) -> None:
        """Return once nothing happens any more."""
        quiet = 0
        began = time.monotonic()
        while quiet < QUIET or time.monotonic() < began + self._play.pause:
            assert time.monotonic() < began + CERTAIN, "it goes on and on"
            quiet = 0 if self._turn() else quiet + 1
            if quiet > QUIET:
                time.sleep(0.002)

    def _hurry(self) -> None:
        """Let the client be as quick as it can: it answers between two turns of the server."""
        end = time.monotonic() + HURRY
        while time.monotonic() < end:
            self._wire.pump()

    def _wait(self, patience: float) -> None:
        """See what comes of it after the last move."""
        wire, outcome = self._wire, self.outcome
        began = time.monotonic()
        while (passed := time.monotonic() - began) < patience:
            if self._to_answer is not None and passed > LATE:
                wire.out += self._to_answer
                self._to_answer = None
            self._turn()
            now = time.monotonic() - began
            if wire.end is not None and outcome.end is None:
                outcome.end = wire.end, class_of(now)
            if not outcome.freed and not self._stage.holds(wire.port):
                outcome.freed = class_of(now)
            ended = outcome.freed and (outcome.end or self._gone) and not self._part.is_busy
            if ended and not self._stage.is_exiting:
                break
            time.sleep(0.001)
        self.settle()
        if outcome.end is None and not self._gone:
            outcome.end = "nothing", "ever"
        outcome.freed = outcome.freed or "never"
        told = len(self._play.moves)
        outcome.told = [
            (
                note.what,
                note.result,
                note.move if note.move < told else class_of(note.at - began),
            )
            for note in sorted(self._part.notes, key=in_order)
        ]
        self._noted = len(self._part.notes)
        outcome.in_time = len(wire.frames)

    def _epilogue(self) -> None:
        """Let the application receive what it has not, and return."""
        part = self._part
        part.move += 1
        while part.is_busy and self._stage.server.thread.is_alive():
            self._stage.run(part.withdraw)
            self.settle()
        if not part.over and part.task is not None:
            self._stage.run(lambda: part.command("listen"))
            self.settle()
            self._stage.run(part.withdraw)
            self.settle()
        self._stage.run(lambda: part.command("return"))
        self.settle()
        rest = [(note.what, note.result, "in the end") for note in part.notes[self._noted :]]
        self.outcome.told += rest

    def _clean(self) -> None:
        """Wait until nothing is left of the connection."""
        if self._stage.kind != "behind":
            return
        end = time.monotonic() + CLOSE_TIMEOUT + 2 * AT_ONCE
        part, stage = self._part, self._stage
        while time.monotonic() < end:
            self._turn()
            left = []
            if stage.holds(self._wire.port):
                left.append("socket")
            if part.task is not None and not part.over:
                left.append("application")
            if not stage.stopping and stage.server.connections():
                left.append("connection")
            if not left:
                break
            time.sleep(0.002)
        self.outcome.left = left


def unread(server_port: int, client_port: int) -> int:
    """Return how many bytes the kernel holds that the server has not read (Linux)."""
    for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [int(end.rpartition(":")[2], 16) for end in fields[1:3]] == [server_port, client_port]:
            return int(fields[4].rpartition(":")[2], 16) if fields[3] in OPEN else 0
    return 0


def streaming(size: int, number: int) -> Any:
    """Return what a client sends as it can: a number of binary messages of a size."""
    messages = iter(range(number))
    message = frame(2, bytes(size))
    several = max(1, 65536 // len(message))

    def stream() -> bytes:
        return b"".join(message for _, _ in zip(range(several), messages, strict=False))

    return stream


def in_order(note: Note) -> tuple[int, bool]:
    """Return by what to sort notes: which of two tasks comes first in a move is no matter."""
    return note.move, note.aside


def class_of(seconds: float) -> str:
    """Return what can be said of a time on a busy machine."""
    if seconds < AT_ONCE:
        return "at once"
    return "by close_timeout" if seconds < CLOSE_TIMEOUT + AT_ONCE else "later"


def head_of(head: bytes) -> list[str]:
    """Return the lines of a response but for those that are different each time."""
    lines = head.decode("latin-1").splitlines()
    different = ("date:", "sec-websocket-accept:")
    return [line for line in lines if line and not line.lower().startswith(different)]


def logged_as(record: logging.LogRecord) -> str | None:
    """Return the kind of what was logged, or `None` if machine or Python alone are the reason."""
    message = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    if "the event loop stood still" in message or message.startswith(CANCELLED):
        return None
    for beginning in APPLICATION_FAILED:
        if message.startswith(beginning):
            return f"application failed: {type(error).__name__}"
    if message.startswith("Fatal error: protocol."):
        return f"what reads failed: {type(error).__name__}"
    return f"{record.name}: {message.splitlines()[0]} {type(error).__name__ if error else ''}"


def is_daphne(server: Server) -> bool:
    return type(server).__name__ == "Daphne"


@contextmanager
def staged(
    kind: str,
    ws: str,
    loop: str,
    tls: ssl.SSLContext | None = None,
    certificate: Path | None = None,
    *,
    ping_interval: float = 0.01,
    ping_timeout: float = 30,
    own_pings: bool = False,
    application: Any = None,
) -> Iterator[Stage]:
    """Run a server of that kind, see `Stage`, with Pings of its own, too, if asked for."""
    puppet = Puppet()
    application = application or puppet
    config: dict[str, Any] = {}
    if kind == "behind":
        application = KeepaliveMiddleware(
            application,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=CLOSE_TIMEOUT,
        )
    protocol: Any = ws
    if own_pings and kind != "behind":
        config |= {"ws_ping_interval": ping_interval, "ws_ping_timeout": ping_timeout}
    if ws == "hypercorn":
        config |= {"websocket_max_message_size": MAX_SIZE, "graceful_timeout": AT_ONCE / 3}
    elif ws != "daphne":
        config |= {"ws_max_size": MAX_SIZE, "ws_max_queue": MAX_QUEUE, "ws_ping_interval": None}
    if kind == "ahead":
        config |= {} if ws in {"daphne", "websockets"} else {"ws_max_queue": None}
        protocol = AHEAD.get(ws, ws)
    if certificate is not None:
        config["ssl_certfile"] = str(certificate)
    one = serving(application, ws=protocol, loop=loop, **config)
    # Connections inherit it. asyncio does not set it on those of such a socket, and Nagle's
    # algorithm would hold back what follows a TLS handshake for as long as the client's ACK takes.
    if ws != "daphne":  # autobahn sets it
        one.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if ws == "daphne":
        inside: Any = one._server  # type: ignore[attr-defined]
        inside.websocket_max_message_size = inside.websocket_max_frame_size = MAX_SIZE
        inside.application_checker = lambda: None  # its stage sees to it
    if ws == "hypercorn" and kind != "behind":
        one.serve = partial(_serve_and_abort, one.serve)  # type: ignore[method-assign]
    with running(one):
        if ws == "daphne":  # of autobahn, 1 s, in which a busy machine may not come to an answer
            inside.ws_factory.setProtocolOptions(closeHandshakeTimeout=CERTAIN)
        yield Stage(kind, one, puppet, tls if certificate is not None else None)
        if ws == "hypercorn" and kind != "behind" and one.thread.is_alive():
            one.run(_cancel_connections)


async def _serve_and_abort(serve: Any) -> None:
    """Serve by a plain hypercorn, which can leave connections behind, stumble over TLS, or hang."""
    try:
        with suppress(ssl.SSLError, asyncio.CancelledError):
            await serve()
    finally:
        _abort_connections()


def _abort_connections() -> None:
    connections = getattr(asyncio.get_running_loop(), "_transports", {})  # not uvloop's
    for transport in list(connections.values()):
        transport.abort()


def _cancel_connections() -> None:
    """Let a plain hypercorn exit, which never does while a connection has unread messages.

    Nor, over TLS, while a client does not close.
    """
    _abort_connections()
    for task in asyncio.all_tasks():
        if any(part in repr(task) for part in ("_server_callback", "TCPServer", "_handle")):
            task.cancel()
