"""What changes on gunicorn alone: a part of the list in `differences`."""

from __future__ import annotations

from ...support.client import CLOSE, TEXT, frame
from .difference import (
    CLEANLY,
    Difference,
    close_frame,
    disconnects,
    does,
    is_disconnect,
)
from .frames import CONTINUATION, raw
from .play import OPENING, Outcome, Play, app, client, server
from .reading import ERRORS, failed, is_message

STUMBLES = "asyncio: Error occurred during shutdown"
"""What asyncio says of uvloop's transports that are closed twice."""

FORCED = "gunicorn.error: Forcing close of"
"""How gunicorn begins to tell of connections that are open once `graceful_timeout` has passed."""

BAD_CODE = frame(CLOSE, b"\x03\xedbad")


def _own_words(plain: Outcome, behind: Outcome, play: Play) -> None:
    code = close_frame(behind)
    if code not in ERRORS or close_frame(plain) != code:
        return
    plain.frames[-1] = behind.frames[-1]


def _refused_close(plain: Outcome, behind: Outcome, play: Play) -> None:
    if failed(behind, play) is None:
        return
    for mine, its in zip(disconnects(plain), disconnects(behind), strict=False):
        if behind.told[its][1]["code"] == 1006:
            plain.told[mine][1]["code"] = 1006


def _fragments(plain: Outcome, behind: Outcome, play: Play) -> None:
    library = failed(behind, play)
    if library is not None and library.code == 1007:
        plain.told, plain.frames = behind.told, behind.frames
        plain.end, plain.freed = behind.end, behind.freed


def _ends_tcp(plain: Outcome, behind: Outcome, play: Play) -> None:
    if close_frame(behind) is not None and behind.freed == "at once":
        plain.freed = "at once"
        if behind.end is not None and behind.end[0] in CLEANLY:
            plain.end = behind.end


def _close_returns(plain: Outcome, behind: Outcome, play: Play) -> None:
    for number, (mine, its) in enumerate(zip(plain.told, behind.told, strict=False)):
        if its[:2] != ("close", None):
            continue
        if mine[1] == "waits" and (mine[0] == "close" or does(play, "app", "refuse", "bye")):
            plain.told[number:] = behind.told[number:]
            break


def _keeps(plain: Outcome, behind: Outcome, play: Play) -> None:
    if not does(play, "app", "close", "refuse"):
        return
    for number, its in enumerate(behind.told):
        mine = plain.told[number : number + 1]
        if is_message(its) and mine and not is_message(mine[0]):
            plain.told.insert(number, its)


def _accepts(plain: Outcome, behind: Outcome, play: Play) -> None:
    for number, (mine, its) in enumerate(zip(plain.told, behind.told, strict=False)):
        if mine[:2] == ("accept", "RuntimeError") and its[:2] == ("accept", None):
            plain.told[number] = its


def _exits(plain: Outcome, behind: Outcome, play: Play) -> None:
    if not does(play, "server", "stop"):
        return
    plain.logged = [line for line in plain.logged if not line.startswith((STUMBLES, FORCED))]
    if behind.end is not None and behind.end[0] in CLEANLY:
        plain.end = behind.end
    if close_frame(behind) == 1012 and close_frame(plain) in {None, 1011}:
        plain.frames = [one for one in plain.frames if one[0] != CLOSE] + behind.frames[-1:]
    if does(play, "client", "stop") and behind.freed == "by close_timeout":
        plain.end, plain.freed = behind.end, behind.freed
    for number, its in enumerate(behind.told):
        mine = plain.told[number : number + 1]
        is_end = is_disconnect(its[1]) and its[1]["code"] == 1012
        if (is_end and mine and is_disconnect(mine[0][1])) or (mine and mine[0][:2] == its[:2]):
            plain.told[number] = its[0], its[1], its[2]
        elif is_end or its[:2] in {("close", None), ("send", "OSError")}:
            plain.told.insert(number, its)


ENTRIES = (
    Difference(
        "exit",
        ("gunicorn",),
        "at its exit leaves connections open until `graceful_timeout` has passed and the arbiter "
        "kills it, or it cancels its applications, and closes with 1011 or without a Close frame, "
        "by chance; to the kernel it leaves what a client has not read",
        "closes with 1012 in time for that: `close_timeout` before its end, but not in the first "
        "half of the time that is left; ends with RST what is there half a second before it",
        "a client should know that it may come back, and a frozen one must not hold memory",
        Play((*OPENING, app("listen"), server("stop"))),
        _exits,
    ),
    Difference(
        "keeps",
        ("gunicorn",),
        "drops messages that come after its application's close",
        "its application can receive them, as far as there is room, before the end",
        "all servers read in the same way",
        Play(
            (*OPENING, app("close", 4000), client("noise", "message"), app("receive")),
            answers="late",
        ),
        _keeps,
    ),
    Difference(
        "accepts",
        ("gunicorn",),
        "on uvloop `send` of `websocket.accept` raises `RuntimeError` if its client has left",
        "does nothing, as on asyncio",
        "`receive` tells the end",
        Play((client("FIN"), *OPENING)),
        _accepts,
        loop="uvloop",
    ),
    Difference(
        "end of TCP there",
        ("gunicorn",),
        "keeps TCP open after its client's Close frame, and after a protocol error, until its "
        "application returns; then it resets it if the client has sent more",
        "ends it at once, with FIN",
        "RFC 6455 7.1.1",
        Play((*OPENING, app("receive"), client("noise", "Close"))),
        _ends_tcp,
    ),
    Difference(
        "close returns",
        ("gunicorn",),
        "`send` of `websocket.close` waits 5 s for the Close frame of a client that has gone; "
        "the application may be cancelled meanwhile",
        "returns when the connection is lost",
        "nobody can answer any more",
        Play((*OPENING, client("stop"), app("close", 4000), client("RST")), answers="never"),
        _close_returns,
    ),
    Difference(
        "own words",
        ("gunicorn",),
        "says in its own words what is wrong with what came",
        "in those of the `websockets` library",
        "all servers read in the same way",
        Play((*OPENING, app("listen"), client("send", raw(3)))),
        _own_words,
    ),
    Difference(
        "refused Close",
        ("gunicorn",),
        "tells its application the code of a Close frame that it refuses",
        "1006",
        "RFC 6455 7.1.5: no Close frame has come",
        Play((*OPENING, app("listen"), client("send", BAD_CODE))),
        _refused_close,
    ),
    Difference(
        "fragments of text",
        ("gunicorn",),
        "looks at a text once all its fragments have come",
        "looks at each fragment",
        "nobody should send in vain",
        Play(
            (
                *OPENING,
                app("listen"),
                client("send", raw(TEXT, b"\xff", fin=False)),
                client("send", raw(CONTINUATION, b"more")),
            )
        ),
        _fragments,
    ),
)
