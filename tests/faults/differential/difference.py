"""What an entry of the list of differences is, and what the entries have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, NamedTuple

from ...support.client import CLOSE
from .frames import MAX_SIZE
from .play import Outcome, Play, client

CLEANLY = ("FIN", "close_notify")
NEWER = ("websockets-sansio", "wsproto")
UVICORN = (*NEWER, "websockets")
OTHERS = ("hypercorn", "daphne")

Correct = Callable[[Outcome, Outcome, Play], None]
"""Takes the plain outcome, which it changes, the one behind the middleware, and the play."""


class Difference(NamedTuple):
    """One thing that changes.

    Attributes:
        name: What the tests call it.
        servers: Those on which it does.
        plain: What they do by themselves.
        behind: What they do behind the middleware.
        why: The reason.
        play: Shows it.
        correct: Makes of a plain outcome what is expected behind the middleware.
        scheme: Whether it takes TLS to show it.
        loop: The event loop on which it shows.
        settings: Of the middleware, if it takes others to show it, see `staged`.
    """

    name: str
    servers: tuple[str, ...]
    plain: str
    behind: str
    why: str
    play: Play
    correct: Correct
    scheme: str = "ws"
    loop: str = "asyncio"
    settings: Mapping[str, float] = {}


def is_disconnect(result: Any) -> bool:
    return isinstance(result, dict) and result["type"] == "websocket.disconnect"


def disconnects(outcome: Outcome) -> list[int]:
    """Return where an application was told the end."""
    return [number for number, one in enumerate(outcome.told) if is_disconnect(one[1])]


def close_frame(outcome: Outcome) -> int | None:
    """Return the code of the Close frame that the client got; 1005 stands for none in it."""
    for opcode, payload in outcome.frames:
        if opcode == CLOSE:
            return int.from_bytes(payload[:2]) if payload else 1005
    return None


def gone_in(play: Play) -> float:
    """Return the number of the move in which the client, or the application, began to end it."""
    ends = ("FIN", "cut", "RST", "close", "noise", "send")
    return next(
        (
            n
            for n, move in enumerate(play.moves)
            if move.what in ends or (move.what == "stream" and move.arguments[0] > MAX_SIZE)
        ),
        inf,
    )


def does(play: Play, who: str, *whats: str) -> bool:
    return any(move.who == who and move.what in whats for move in play.moves)


def answers(play: Play) -> bool:
    """Whether the client answers a Close frame, or ends the connection itself."""
    if does(play, "client", "FIN", "cut", "RST"):
        return True
    # Behind half a frame its answer is part of that frame.
    return play.answers != "never" and client("noise", "head") not in play.moves


def cleanly(plain: Outcome, behind: Outcome, play: Play) -> None:
    """Expect the clean end behind the middleware where a plain server resets TCP."""
    if plain.end and plain.end[0] == "RST" and behind.end and behind.end[0] in CLEANLY:
        plain.end = behind.end[0], plain.end[1]
        if plain.frames == behind.frames[: len(plain.frames)]:  # the rest was destroyed
            plain.frames = list(behind.frames)


def take_over_tls_end(plain: Outcome, behind: Outcome) -> None:
    """Expect the end of TLS behind a whole close, where the plain server just drops TCP."""
    if plain.end == ("FIN", "at once") and behind.end == ("close_notify", "at once"):
        plain.end = behind.end
