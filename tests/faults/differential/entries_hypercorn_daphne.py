"""What changes on hypercorn and daphne, as far as the one reader is not the reason: a part."""

from __future__ import annotations

from ...support.client import CLOSE, frame
from .difference import (
    CLEANLY,
    OTHERS,
    Difference,
    answers,
    cleanly,
    close_frame,
    disconnects,
    does,
    gone_in,
    is_disconnect,
    take_over_tls_end,
)
from .play import OPENING, Outcome, Play, app, client, server


def _reason(plain: Outcome, behind: Outcome, play: Play) -> None:
    for mine, its in zip(disconnects(plain), disconnects(behind), strict=False):
        event, told = plain.told[mine][1], behind.told[its][1]
        if "reason" in told:
            event.setdefault("reason", told["reason"])


def _code(plain: Outcome, behind: Outcome, play: Play) -> None:
    echoed = close_frame(behind)
    for mine, its in zip(disconnects(plain), disconnects(behind), strict=False):
        code = behind.told[its][1]["code"]
        if code == echoed or any(told[0] in {"close"} for told in plain.told[:mine]):
            plain.told[mine][1]["code"] = code


def _again(plain: Outcome, behind: Outcome, play: Play) -> None:
    ends = disconnects(plain)
    if ends:
        _receive_as_often(plain, behind, play, ends[0] + 1)
        for number, (_, result, _) in enumerate(plain.told):
            repeats = behind.told[number : number + 1]
            if number > ends[0] and result == "waits" and repeats and is_disconnect(repeats[0][1]):
                again = dict(plain.told[ends[0]][1])
                plain.told[number] = "receive", again, repeats[0][2]


def _receive_as_often(plain: Outcome, behind: Outcome, play: Play, since: int) -> None:
    """Expect an application to receive in later moves, too, though its first `receive` waits."""
    asks = [n for n, move in enumerate(play.moves) if move in {app("receive"), app("listen")}]
    its = [told for told in behind.told[since:] if is_disconnect(told[1]) and told[2] in asks]
    if [told[:2] for told in plain.told[since : since + 1]] == [("receive", "waits")]:
        plain.told[since:since] = [("receive", "waits", told[2]) for told in its[1:]]


def _raises(plain: Outcome, behind: Outcome, play: Play) -> None:
    refused = plain.head[:1] == ["HTTP/1.1 400 "]  # as it spoke before
    since = -1 if refused else gone_in(play)
    speaks = any(move.who == "client" for n, move in enumerate(play.moves) if n == since)
    calls = {"send", "close", "accept", "deny"}
    for number, (mine, its) in enumerate(zip(plain.told, behind.told, strict=False)):
        late = isinstance(mine[2], str) or mine[2] > since or (mine[2] == since and speaks)
        raises = mine[0] == its[0] and (mine[1], its[1]) == (None, "OSError")
        if late and raises and mine[0] in calls:
            plain.told[number] = its[0], its[1], mine[2]


def _error_told(plain: Outcome, behind: Outcome, play: Play) -> None:
    code = close_frame(behind)
    if close_frame(plain) is None and code in {1002, 1007, 1009}:
        plain.frames.append(behind.frames[-1])
    elif close_frame(plain) == code == 1009:
        plain.frames[-1] = behind.frames[-1]


def _tls_errors(plain: Outcome, behind: Outcome, play: Play) -> None:
    if TLS_ERROR not in plain.logged or TLS_ERROR in behind.logged:
        return
    plain.logged = [line for line in plain.logged if line != TLS_ERROR]
    if ("left", "CancelledError") in {told[:2] for told in plain.told if told[0] == "left"}:
        plain.told[-1:] = behind.told[len(plain.told) - 1 :]


CLOSE_AND_HALF = frame(CLOSE, b"\x03\xe8") + b"\x89\x84"
TLS_ERROR = "asyncio: Unhandled exception in client_connected_cb SSLError"


def _closed_at_return(plain: Outcome, behind: Outcome, play: Play) -> None:
    left = any(what == "left" and result != "Asked" for what, result, _ in plain.told)
    if not left or close_frame(plain) is not None or close_frame(behind) != 1000:
        return
    before = behind.frames[:-1]
    if plain.frames[: len(before)] == before:  # by itself it goes on answering Pings
        plain.frames = list(behind.frames)
    take_over_tls_end(plain, behind)
    if plain.end in {None, ("nothing", "ever")}:
        if answers(play):
            cleanly = behind.end is not None and behind.end[0] in CLEANLY
            # The client may have gone before it could answer.
            unanswered = behind.end is None and client("noise", "head") in play.moves
            plain.end = behind.end if cleanly or unanswered else ("FIN", "at once")
            plain.freed = "at once"
        else:
            plain.end = "RST", "by close_timeout"
            plain.freed = "by close_timeout"


def _waits(plain: Outcome, behind: Outcome, play: Play) -> None:
    for number, (mine, its) in enumerate(zip(plain.told, behind.told, strict=False)):
        if mine[:2] == its[:2] == ("send", None) and str(mine[2]) < str(its[2]):
            plain.told[number] = its


def _exits(plain: Outcome, behind: Outcome, play: Play) -> None:
    told = close_frame(plain) is None and close_frame(behind) == 1012
    if told and does(play, "server", "stop") and plain.frames == behind.frames[:-1]:
        plain.frames.append(behind.frames[-1])
    if does(play, "server", "stop"):
        take_over_tls_end(plain, behind)


ENTRIES = (
    Difference(
        "end of TCP",
        ("daphne",),
        "resets TCP once the client has answered its Close frame, or after a protocol error",
        "ends with FIN",
        "a reset can destroy what the client has not read yet",
        Play((*OPENING, app("close", 4000))),
        cleanly,
    ),
    Difference(
        "reason",
        (*OTHERS, "gunicorn"),
        "`websocket.disconnect` has no `reason`",
        "it has one",
        "ASGI has had it since its version 2.3",
        Play((*OPENING, app("listen"), client("noise", "Close"))),
        _reason,
    ),
    Difference(
        "again",
        (*OTHERS, "gunicorn"),
        "`receive` waits for ever after a `websocket.disconnect`",
        "returns it again, if the client has closed",
        "no application hangs",
        Play((*OPENING, app("listen"), client("noise", "Close"))),
        _again,
    ),
    Difference(
        "code",
        ("hypercorn",),
        "`websocket.disconnect` has code 1006, or 1000",
        "it has the client's code",
        "an application must know why its client left",
        Play((*OPENING, app("listen"), client("send", frame(CLOSE, b"\x0f\xa1bye")))),
        _code,
    ),
    Difference(
        "raises",
        OTHERS,
        "`send` to a client that has gone, or was refused because it spoke too early, does nothing",
        "raises an `OSError`; one that leaves the application is not logged",
        "an application that only sends must learn of it",
        Play((*OPENING, client("RST"), app("send", 10), app("send", 10))),
        _raises,
    ),
    Difference(
        "Close frame of errors",
        ("hypercorn",),
        "closes TCP when what comes is not WebSocket, or longer than any message, and gives no "
        "reason for 1009",
        "sends a Close frame first, 1002, 1007 or 1009, always with a reason",
        "RFC 6455 7.1.7",
        Play((*OPENING, app("listen"), client("noise", "broken"))),
        _error_told,
    ),
    Difference(
        "return",
        ("daphne",),
        "leaves the connection open when its application returns",
        "closes it with 1000",
        "nobody would answer the client any more",
        Play((*OPENING, app("return"))),
        _closed_at_return,
    ),
    Difference(
        "exits",
        ("daphne",),
        "drops its connections when it exits",
        "closes them with 1012",
        "a client should know that it may come back",
        Play((*OPENING, app("listen"), server("stop"))),
        _exits,
    ),
    Difference(
        "back-pressure",
        ("daphne",),
        "buffers without bound what its application sends to a client that does not read",
        "lets `send` wait, as elsewhere",
        "one client must not fill the memory",
        Play(
            (
                *OPENING,
                client("stop"),
                app("several", *[("send", 1_000_000)] * 8),
                client("go on"),
                client("noise", "Close"),
            )
        ),
        _waits,
    ),
    Difference(
        "TLS errors",
        ("hypercorn",),
        "over wss cancels its application and logs a traceback when something comes after the end",
        "discards it, and logs nothing",
        "what a client had sent before it learned of the end is no error",
        Play(
            (
                *OPENING,
                app("listen"),
                client("stop"),
                client("send", CLOSE_AND_HALF),
                client("send", b"Ping"),
                client("go on"),
            )
        ),
        _tls_errors,
        scheme="wss",
    ),
)
