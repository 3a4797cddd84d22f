"""One play on one stage.

After each move the server's event loop turns until nothing happens any more, so that a play has the
same course each time, on however busy a machine. Only what comes after the last move is a matter of
time, and that is told in three classes.
"""

from __future__ import annotations

import time
from typing import Any

from .frames import NOISE
from .play import AT_ONCE, CERTAIN, CLOSE_TIMEOUT, Move, Outcome, Play
from .puppet import Note, Part
from .stage import Stage
from .wire import BINARY, PONG, TEXT, Wire, answering, frame

LATE = 0.15
"""Seconds until a client answers that answers late; no server gives up so soon."""

HURRY = 0.002
"""Seconds in which an event loop does a few things."""

QUIET = 25
"""In so many turns of its event loop a server comes to what it has to do, if it does."""


def perform(stage: Stage, play: Play, replay: list[bytes] | None = None) -> Outcome:
    """Return what comes of a play; the client sends what is to be replayed, if given."""
    with stage.connection(play) as (part, wire):
        performance = _Performance(stage, play, part, wire, replay)
        performance.run()
    performance.outcome.logged = stage.logged()
    return performance.outcome


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
