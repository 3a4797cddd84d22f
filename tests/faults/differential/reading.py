"""What a client has sent in a play, as the `websockets` library reads it."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import Any

from asgi_keepalive.endpoint.events import Close, Ping

from ...support.client import CLOSE, PONG
from ...support.library import Library
from .difference import close_frame, disconnects, does
from .frames import MAX_SIZE
from .play import Outcome, Play
from .puppet import short
from .wire import answering

SENDS = {"send", "messages", "noise", "pong"}
"""The moves of which an outcome tells what was sent."""

LONGEST = 100_000
"""Bytes of the longest stream that is looked at: the library is given one at a time."""

ERRORS = {1002, 1007, 1009}
"""The codes of what the library refuses."""


def read(
    behind: Outcome, play: Play, moves: float = inf, *, answer: bytes = b"", to_end: bool = False
) -> Library | None:
    """Return what has read all that was sent in so many moves, or `None` if that is not known.

    Args:
        answer: Is sent then.
        to_end: Whether the last frame ends: the library waits for that, where the reader judges by
            the head.
    """
    sends = [n for n, move in enumerate(play.moves) if move.who == "client" and move.what in SENDS]
    sent = b"".join(data for n, data in zip(sends, behind.sent, strict=False) if n < moves)
    streams = any(move.what in {"stream", "dribble"} for move in play.moves)
    if streams or play.early or len(sent) > LONGEST:
        return None
    deflate = any("permessage-deflate" in line for line in behind.head)
    return _read(sent + answer, deflate, to_end)


@lru_cache(maxsize=32)
def _read(sent: bytes, deflate: bool, to_end: bool) -> Library:
    # Whatever window was agreed, one of 15 bits has room for it.
    library = Library(MAX_SIZE, deflate=deflate, alone=False, window_bits=15)
    library.feed(sent)
    for _ in range(LONGEST * to_end):
        if library.is_done or library.is_between_frames:
            break
        library.feed(b"\0")
    return library


def failed(behind: Outcome, play: Play) -> Library | None:
    """Return what has read it all, if it fails just as the server behind the middleware did."""
    library = read(behind, play, to_end=True)
    code = close_frame(behind)
    if library is None or code not in ERRORS or library.is_closed:
        return None
    if library.code != code or not _has_read(behind, library):
        return None
    return None if _is_late(behind, play) else library


def well_read(behind: Outcome, play: Play) -> Library | None:
    """Return what has read it all, if nothing was wrong, just as behind the middleware."""
    library = read(behind, play)
    if library is None or not _has_read(behind, library):
        return None
    if library.code is not None and not has_closed(behind, library):
        return None
    if library.is_closed and library.events[-1] not in _closes(behind):
        return None
    return library


def _closes(behind: Outcome) -> list[Close]:
    """Return the Close frames that a server's answer and its application's end agree with."""
    told = [behind.told[n][1] for n in disconnects(behind)[:1]]
    return [
        Close(one["code"], one.get("reason", ""))
        for one in told
        if one["code"] == close_frame(behind)
    ]


def is_refused_elsewhere(data: bytes) -> bool:
    """Whether other libraries than `websockets` refuse a length in this, or a Close frame's code.

    They ask for the shortest form of a length, and do not know 1014.
    """
    while len(data) > 2:
        size = {126: 2, 127: 8}.get(data[1] & 0x7F, 0)
        length = int.from_bytes(data[2 : 2 + size]) if size else data[1] & 0x7F
        if size and (length < {2: 126, 8: 65536}[size] or length >= 2**63):
            return True
        mask, payload = data[2 + size : 6 + size], data[6 + size : 6 + size + length]
        code = bytes(a ^ b for a, b in zip(mask, payload, strict=False))[:2]
        if data[0] == 0x80 | CLOSE and int.from_bytes(code) == 1014:
            return True
        data = data[6 + size + length :]
    return False


def fails_in_part(behind: Outcome, play: Play) -> bool:
    """Whether the client has sent a part of a frame whose text is none, and nothing wrong before.

    The server behind the middleware has read what came before that.
    """
    library = read(behind, play)
    if library is None or library.is_done or library.is_between_frames:
        return False
    whole = read(behind, play, to_end=True)
    return _has_read(behind, library) and whole is not None and whole.code == 1007


def fails_behind_close(behind: Outcome, play: Play, when: int | str | None) -> bool:
    """Whether a client had sent a text that is none by then, and the application has closed."""
    library = read(behind, play, when + 1 if isinstance(when, int) else inf, to_end=True)
    return library is not None and library.code == 1007 and has_closed(behind, library)


def fails_at_answer(behind: Outcome, play: Play) -> bool:
    """Whether the client's answer to a Close frame made what it had sent of a frame a wrong one."""
    library = read(behind, play)
    closes = [payload for opcode, payload in behind.frames if opcode == CLOSE]
    if library is None or library.is_done or library.is_between_frames or not closes:
        return False
    whole = read(behind, play, answer=answering(closes[0]), to_end=True)
    return whole is not None and whole.code is not None


def _is_late(behind: Outcome, play: Play) -> bool:
    """Whether an application that listens was told of the error in a later move than it could."""
    ends = disconnects(behind)
    when = behind.told[ends[0]][2] if ends else 0
    if not isinstance(when, int) or not does(play, "app", "listen", "echo", "refuse"):
        return False
    before = read(behind, play, when)
    return before is None or before.code is not None


def _has_read(behind: Outcome, library: Library) -> bool:
    """Whether messages and Pings before the end are as they should be."""
    pings = [event.payload for event in library.events if isinstance(event, Ping)]
    pongs = [payload for opcode, payload in behind.frames if opcode == PONG]
    messages = [event for event in library.events if isinstance(event, str | bytes)]
    expected = [short({"data": one})["data"] for one in messages]
    told = [content(one[1]) for one in behind.told if is_message(one)]
    if has_closed(behind, library):
        return pongs == pings[: len(pongs)] and told == expected[: len(told)]
    return pongs == pings and told == (expected if disconnects(behind) else expected[: len(told)])


def has_closed(behind: Outcome, library: Library) -> bool:
    """Whether the application has closed before its client did, or was wrong."""
    return close_frame(behind) not in {None, *ERRORS} and not library.is_closed


def is_message(told: tuple[str, Any, int | str]) -> bool:
    return isinstance(told[1], dict) and told[1]["type"] == "websocket.receive"


def content(event: Any) -> Any:
    """Return what is in a message."""
    text = event.get("text")
    return text if text is not None else event["bytes"]


def data_frames(outcome: Outcome) -> list[Any]:
    return [frame for frame in outcome.frames if frame[0] not in {CLOSE, PONG}]
