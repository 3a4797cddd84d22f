"""A play, which is a list of moves of the client, the application and the server; its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .wire import Frame

CLOSE_TIMEOUT = 1.0
"""Of the middleware, in seconds."""

AT_ONCE = 0.5
"""What takes no longer, in seconds, takes no time: machines are busy."""

CERTAIN = 20.0
"""Seconds after which a server that does nothing is broken."""

MAX_QUEUE = 32
"""Messages that may be unread: `ws_max_queue`."""


class Move(NamedTuple):
    """What somebody does in a play."""

    who: str
    what: str
    arguments: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        arguments = ", ".join(map(repr, self.arguments))
        return f"{self.who}({self.what!r}{arguments and ', '}{arguments})"


def client(what: str, *arguments: Any) -> Move:
    """Let the client do something, see `performance`."""
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
