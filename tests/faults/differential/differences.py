"""What changes behind the middleware, besides what it is there for: the whole list.

Each entry says what a server does by itself, what it does behind the middleware, and why. Its
function corrects the outcome of a play on the plain server to what is expected behind the
middleware; nothing else is forgiven. `docs/matrix.md` tells users what stands here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import inf
from typing import Any

from ...conftest import SERVERS
from ...support.client import PONG
from .difference import (
    CLEANLY,
    NEWER,
    OTHERS,
    UVICORN,
    Difference,
    answers,
    cleanly,
    close_frame,
    does,
    is_disconnect,
    take_over_tls_end,
)
from .entries_gunicorn import ENTRIES as OF_GUNICORN
from .entries_hypercorn_daphne import ENTRIES as OF_OTHERS
from .entries_legacy_daphne import BOUNDED, BOUNDED_BYTES, FIN_OVER_TLS, UPLOAD
from .entries_newer import ENTRIES as OF_NEWER
from .entries_reader import ENTRIES as OF_READER
from .play import OPENING, Outcome, Play, app, client, server

# All servers.


def _close_timeout(plain: Outcome, behind: Outcome, play: Play) -> None:
    waits = plain.end == ("nothing", "ever") and close_frame(plain) is not None
    if not waits or answers(play):
        return
    plain.end = "RST", "by close_timeout"
    plain.freed = "by close_timeout"
    _take_over_ends(plain, behind, "by close_timeout")


def _exits_at_last(plain: Outcome, behind: Outcome, play: Play) -> None:
    frozen = does(play, "client", "stop") and not does(play, "client", "go on")
    if frozen and does(play, "server", "stop") and plain.freed == "never":
        plain.freed = "by close_timeout"


def _sooner(plain: Outcome, behind: Outcome, play: Play) -> None:
    if does(play, "client", "messages", "stream"):
        _take_over_leaving(plain, behind)
        _take_over_closes(plain, behind)
    if _ended_unseen(behind, play):
        if plain.end is None:
            plain.end = behind.end
        elif does(play, "client", "cut"):
            take_over_tls_end(plain, behind)
    hidden = client("noise", "Close") in play.moves and behind.freed == "at once"
    if plain.freed != "never" and not (hidden and plain.freed == "by close_timeout"):
        return
    plain.freed = "at once"
    waits = {None, ("nothing", "ever"), ("RST", "by close_timeout")}
    if plain.end in waits and behind.end and behind.end[0] in CLEANLY:
        plain.end = behind.end[0], "at once"
    _take_over_ends(plain, behind, "at once")


def _ended_unseen(behind: Outcome, play: Play) -> bool:
    """Whether a close came to its end behind what a plain server does not see."""
    closes = [
        told
        for told in behind.told
        if told[:2] == ("close", None) or (told[0] == "left" and isinstance(told[2], int))
    ]
    unread = does(play, "client", "messages", "stream", "FIN", "cut")
    ends = behind.end is not None and behind.end[0] in CLEANLY
    return bool(closes) and unread and ends


def _take_over_ends(plain: Outcome, behind: Outcome, when: str) -> None:
    """Let an application of a plain server that never ends learn the end as it does behind."""
    for number, (mine, its) in enumerate(zip(plain.told, behind.told, strict=False)):
        if mine[1] == "waits" and is_disconnect(its[1]) and its[2] in {when, "in the end"}:
            plain.told[number] = its
    _take_over_closes(plain, behind)


def _take_over_closes(plain: Outcome, behind: Outcome) -> None:
    """Let a call that never returns on a plain server return when it does behind."""
    for number, (mine, its) in enumerate(zip(plain.told, behind.told, strict=False)):
        if mine[0] == its[0] == "close" and mine[2] == "in the end" != its[2]:
            plain.told[number] = mine[0], mine[1], its[2]


def _take_over_leaving(plain: Outcome, behind: Outcome) -> None:
    """Let an application whose last call never returns close and leave as it does behind."""
    calls = (n for n, told in enumerate(plain.told) if told[0] in {"bye", "close"})
    last = next((n for n in calls if plain.told[n][2] == "in the end"), inf)
    rest = [told for n, told in enumerate(behind.told) if n >= last]
    if [told[:2] for told in rest] == [("close", None), ("left", None)]:
        plain.told[len(behind.told) - 2 :] = rest


def _discards(plain: Outcome, behind: Outcome, play: Play) -> None:
    closed = next((n for n, told in enumerate(plain.told) if told[0] == "close"), inf)
    messages = [n for n, told in enumerate(plain.told) if n > closed and is_message(told)]
    closed = next((n for n, told in enumerate(behind.told) if told[0] == "close"), inf)
    kept = [told for n, told in enumerate(behind.told) if n > closed and is_message(told)]
    rest = messages[len(kept) :] if len(kept) >= 10 or does(play, "client", "stream") else []
    plain.told = [told for n, told in enumerate(plain.told) if n not in rest]


def is_message(told: tuple[str, Any, int | str]) -> bool:
    return isinstance(told[1], dict) and told[1]["type"] == "websocket.receive"


READS_AHEAD = Difference(
    "reads ahead",
    NEWER,
    "reads one message ahead of its application",
    "reads 32 messages (`ws_max_queue`) or 1 MiB ahead, and so answers the Pings and notices the "
    "errors among them",
    "a busy application's client must not be taken for dead",
    Play((*OPENING, *[client("messages", 2)] * 8, client("noise", "Ping"), app("close", 4000))),
    lambda plain, behind, play: None,  # see `compared`
)
DIFFERENCES = [
    READS_AHEAD,
    BOUNDED,
    BOUNDED_BYTES,
    UPLOAD,
    Difference(
        "discards",
        (*NEWER, "hypercorn"),
        "tells its application after its close of all messages that it has read, and hypercorn "
        "reads on",
        "discards those for which there is no room",
        "nothing that nobody will receive may pause reading",
        Play((*OPENING, client("messages", 40), app("close", 4000))),
        _discards,
    ),
    Difference(
        "close timeout",
        (*UVICORN, *OTHERS, "gunicorn"),
        "waits 10 s (uvicorn), 5 s (gunicorn), 1 s (daphne), or for ever (hypercorn) for a client "
        "that answers no Close frame",
        "waits for `close_timeout`, and ends with RST",
        "a frozen client must not hold a socket",
        Play((*OPENING, app("close", 4000)), answers="never"),
        _close_timeout,
    ),
    Difference(
        "exits at last",
        ("hypercorn",),
        "at SIGTERM waits `graceful_timeout`, cancels its applications, and then waits for clients "
        "that read nothing, without bound",
        "waits for those `close_timeout` at most, and ends with RST",
        "a frozen client must not keep a server from its exit",
        Play((*OPENING, client("stop"), app("send", 8_000_000), server("stop"))),
        _exits_at_last,
    ),
    Difference(
        "sooner",
        ("websockets", "hypercorn"),
        "keeps TCP open while unread messages hide that the client has answered or gone, and "
        "hypercorn after the client's FIN until its application returns",
        "reads on and discards, and ends with FIN at once",
        "a socket must not wait for an application that has closed",
        Play((*OPENING, client("messages", 40), app("close", 4000))),
        _sooner,
    ),
    Difference(
        "FIN",
        NEWER,
        "closes TCP with what the client has sent unread, which resets it",
        "reads and discards it as long as something is on its way to the client, and then ends "
        "with FIN",
        "a reset can destroy what the client has not read yet, the Close frame for one",
        Play(
            (
                *OPENING,
                client("stop"),
                app("send", 8_000_000),
                app("return"),
                client("stream", 65536, 40),
                client("go on"),
            )
        ),
        cleanly,
    ),
    FIN_OVER_TLS,
    *OF_OTHERS,
    *OF_NEWER,
    *OF_READER,
    *OF_GUNICORN,
]


def compared(
    server: str,
    play: Play,
    plain: Outcome,
    behind: Outcome,
    ahead: Callable[[], Outcome],
    without: str = "",
) -> list[tuple[str, Any, Any]]:
    """Return in what an outcome differs from what is expected: field, expected, found.

    Args:
        ahead: Performs the play on the plain server reading ahead as far as behind the middleware,
            or further, which is the same as long as the application keeps up.
        without: The name of a difference that is not forgiven.
    """
    found = _differing(server, play, plain, behind, without)
    may_read = without not in {READS_AHEAD.name, BOUNDED.name, BOUNDED_BYTES.name, "sooner"}
    if found and may_read and server == "websockets":  # it can be had reading exactly as far
        plain = ahead()
        if client("RST") in play.moves:  # which may destroy what has not been read
            plain, behind = _read_ahead(plain, behind)
        return _differing(server, play, plain, behind, without)
    if found and may_read and (plain.behind or behind.behind):
        found = _differing(server, play, *_read_ahead(plain, behind), without)
        if found:
            again = _differing(server, play, *_read_ahead(ahead(), behind), without)
            found = min(found, again, key=len)
    return found


def _differing(
    server: str, play: Play, plain: Outcome, behind: Outcome, without: str
) -> list[tuple[str, Any, Any]]:
    expected, behind = copy.deepcopy(plain), copy.deepcopy(behind)
    for one in DIFFERENCES:
        if server in one.servers and one.name != without:
            one.correct(expected, behind, play)
    found = [
        (name, getattr(expected, name), getattr(behind, name))
        for name in COMPARED
        if getattr(expected, name) != getattr(behind, name)
    ]
    if behind.left:
        found.append(("left", [], behind.left))
    if (unheard := _sent_to_nobody(behind, play)) > 1:
        found.append(("told", "by the second send to a client that has gone", unheard))
    return found


def _sent_to_nobody(behind: Outcome, play: Play) -> int:
    """Return how many events an application could send after its client had gone."""
    moves = enumerate(play.moves)
    gone = next((n for n, move in moves if move.what in {"FIN", "cut", "RST"}), inf)
    return sum(
        told[:2] == ("send", None) and isinstance(told[2], int) and told[2] > gone
        for told in behind.told
    )


def _read_ahead(plain: Outcome, behind: Outcome) -> tuple[Outcome, Outcome]:
    """Return both without what depends on how much was read before the application's end."""
    plain, behind = copy.deepcopy(plain), copy.deepcopy(behind)
    for one in plain, behind:
        one.frames = [frame for frame in one.frames if frame[0] != PONG]
        one.told = [
            told for told in one.told if not (is_message(told) and isinstance(told[2], str))
        ]
    return plain, behind


COMPARED = ("head", "frames", "end", "told", "freed", "logged")


def markdown() -> str:
    """Return the list as `docs/matrix.md` has it, to be copied from here: `print(markdown())`."""
    groups: dict[tuple[str, ...], list[Difference]] = {}
    for one in DIFFERENCES:
        groups.setdefault(one.servers, []).append(one)
    parts = []
    for servers in sorted(groups, key=len, reverse=True):
        lines = [f"| {one.plain} | {one.behind} | {one.why} |" for one in groups[servers]]
        head = ["| by itself | behind the middleware | why |", "|---|---|---|"]
        parts.append("\n".join([f"On {named(servers)}:", "", *head, *lines]))
    return "\n\n".join(parts)


def named(servers: tuple[str, ...]) -> str:
    """Return how users call some servers."""
    if len(servers) == len(SERVERS):
        return "every server"
    names = [f"uvicorn's `{one}`" if one in UVICORN else one for one in servers]
    return ", ".join(names[:-1]) + (" and " if names[1:] else "") + names[-1]
