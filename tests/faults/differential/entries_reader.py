"""What changes because one reader reads for all servers but uvicorn's `websockets`: a part."""

from __future__ import annotations

from .difference import CLEANLY, OTHERS, Difference, close_frame, disconnects, is_disconnect
from .frames import CONTINUATION, close, raw
from .play import OPENING, Outcome, Play, app, client
from .reading import (
    ERRORS,
    data_frames,
    failed,
    fails_at_answer,
    fails_behind_close,
    fails_in_part,
    is_refused_elsewhere,
    well_read,
)
from .wire import CLOSE, PING, TEXT

AT_EVERY_END = {"type": "websocket.disconnect", "code": 1005}
INCOMPLETE = CLOSE, b"\x03\xeaincomplete fragmented message"
NOT_TEXT = b"\xff"
NOT_INFLATED = "error in extension"
"""wsproto's word for it, of which it says 1007."""

TRACEBACKS = (
    "uvicorn.error: Invalid UTF-8 sequence received from client. UnicodeDecodeError",
    "what reads failed: InvalidState",
    "asyncio: Fatal error on transport TCPTransport InvalidState",
    "asyncio: Fatal error on SSL protocol InvalidState",
)
"""The last three if something follows: uvicorn tells its library that the connection is closed."""


def _before_error(plain: Outcome, behind: Outcome, play: Play) -> None:
    if close_frame(plain) != close_frame(behind) or failed(behind, play) is None:
        return
    mine = next(iter(disconnects(plain)), 0)
    its = next(iter(disconnects(behind)), 0)
    when = plain.told[mine][2]
    if plain.told[:mine] == behind.told[:mine] and all(
        told[2] == when for told in behind.told[mine : its + 1]
    ):
        plain.told[mine:mine] = behind.told[mine:its]


def _words(plain: Outcome, behind: Outcome, play: Play) -> None:
    code = close_frame(behind)
    if code not in ERRORS:
        return
    for mine, its in zip(disconnects(plain), disconnects(behind), strict=False):
        event, told = plain.told[mine][1], behind.told[its][1]
        if event.get("reason") == NOT_INFLATED and told["reason"] == "decompression failed":
            event["code"] = told["code"]
        if event["code"] == told["code"] == code:
            event["reason"] = told["reason"]
    if close_frame(plain) == code:
        plain.frames[-1] = behind.frames[-1]
    elif close_frame(plain) is None and plain.frames == behind.frames[:-1]:
        plain.frames.append(behind.frames[-1])


def _text(plain: Outcome, behind: Outcome, play: Play) -> None:
    library = failed(behind, play)
    if library is not None and library.code == 1007:
        plain.logged = [line for line in plain.logged if line not in TRACEBACKS]
        _take_over(plain, behind)


def _text_in_part(plain: Outcome, behind: Outcome, play: Play) -> None:
    library = failed(behind, play)
    if library is not None and library.code == 1007 and _noticed(plain) != _noticed(behind):
        _take_over(plain, behind)
    elif fails_in_part(behind, play):
        _take_over(plain, behind)
        plain.end, plain.freed = behind.end, behind.freed
    elif fails_behind_close(behind, play, _noticed(plain)):
        if [told[:2] for told in plain.told] == [told[:2] for told in behind.told]:
            plain.told = behind.told
        _take_over_end(plain, behind)


def _close_in_message(plain: Outcome, behind: Outcome, play: Play) -> None:
    library = well_read(behind, play)
    if INCOMPLETE in plain.frames and library is not None and library.is_closed:
        _take_over(plain, behind)


def _lenient(plain: Outcome, behind: Outcome, play: Play) -> None:
    if not is_refused_elsewhere(b"".join(behind.sent)):
        return
    if well_read(behind, play) is not None:
        _take_over(plain, behind)
        plain.end, plain.freed = behind.end, behind.freed
    elif failed(behind, play) is not None:
        _take_over(plain, behind)


def _own_close_again(plain: Outcome, behind: Outcome, play: Play) -> None:
    first, *others = disconnects(plain) or [0]
    for number in others:
        own, again = plain.told[first][1], plain.told[number][1]
        rest = behind.told[number:]
        if not (own == again and own["code"] == close_frame(behind) and rest):
            continue
        # It is the last thing that ever comes; the plain server's follows yet.
        last = all(told[1] in {"waits", None} for told in rest[1:] if not is_disconnect(told[1]))
        if rest[0][1] == AT_EVERY_END and last:
            plain.told[number:] = rest


def _head(plain: Outcome, behind: Outcome, play: Play) -> None:
    library = failed(behind, play)
    if library is not None:
        unseen = close_frame(plain) not in {None, library.code}
        if library.code != 1007 and (unseen or _noticed(plain) != _noticed(behind)):
            _take_over(plain, behind)
    elif plain.end in {None, ("nothing", "ever")} and fails_at_answer(behind, play):
        _take_over_end(plain, behind)


def _noticed(outcome: Outcome) -> int | str | None:
    """Return when an application was told the end."""
    return next((outcome.told[n][2] for n in disconnects(outcome)), None)


def _take_over(plain: Outcome, behind: Outcome) -> None:
    """Expect what an application does that learns of an error earlier or later."""
    echoed = data_frames(behind)
    if data_frames(plain) == echoed[: len(data_frames(plain))]:
        plain.told, plain.frames = behind.told, behind.frames
        _take_over_end(plain, behind)


def _take_over_end(plain: Outcome, behind: Outcome) -> None:
    if behind.freed == "at once" and (behind.end is None or behind.end[0] in CLEANLY):
        plain.end, plain.freed = behind.end, behind.freed


ENTRIES = (
    Difference(
        "before an error",
        ("websockets-sansio",),
        "drops the messages that came in one read with something that is not WebSocket",
        "its application receives them first",
        "whether they come in one read is chance",
        Play((*OPENING, app("listen"), client("send", raw(TEXT, b"last") + raw(3)))),
        _before_error,
    ),
    Difference(
        "text",
        ("websockets-sansio",),
        "looks at a text once all its fragments have come; if it is not UTF-8 it logs a traceback, "
        "and closes with 1007 and no reason",
        "looks at each fragment, and says in the Close frame what is wrong",
        "a client's mistake is no error of the server",
        Play((*OPENING, app("listen"), client("send", raw(TEXT, NOT_TEXT)))),
        _text,
    ),
    Difference(
        "text in part",
        ("wsproto", "hypercorn", "daphne"),
        "finds out that a text is not UTF-8 while a frame of it is on its way",
        "when that frame has come",
        "all servers read in the same way",
        Play((*OPENING, app("listen"), client("send", raw(TEXT, NOT_TEXT + bytes(40))[:-1]))),
        _text_in_part,
    ),
    Difference(
        "Close in a message",
        ("websockets-sansio",),
        "refuses a Close frame between the fragments of a message, with 1002",
        "answers it",
        "RFC 6455 5.4 lets every control frame stand there",
        Play(
            (
                *OPENING,
                app("listen"),
                client("send", raw(TEXT, b"mo", fin=False) + close(1000)),
            )
        ),
        _close_in_message,
    ),
    Difference(
        "own close again",
        ("websockets-sansio",),
        "after its application's own close, and something from the client that is not WebSocket, "
        "`receive` returns the code of that close once more",
        "returns 1005, as at every end",
        "an error that nobody will learn of changes nothing",
        Play(
            (*OPENING, app("close", 4000), client("noise", "broken"), *[app("receive")] * 2),
            answers="late",
        ),
        _own_close_again,
    ),
    Difference(
        "lenient",
        ("wsproto", *OTHERS, "gunicorn"),
        "refuses a frame whose length is not in its shortest form, or a Close frame with 1014",
        "takes both, as the `websockets` library does",
        "all servers read in the same way",
        Play((*OPENING, app("listen"), client("send", raw(TEXT, b"text", length=b"\x7e\0\4")))),
        _lenient,
    ),
    Difference(
        "head",
        ("websockets-sansio", "wsproto", "hypercorn", "gunicorn"),
        "waits for the payload of a frame that is larger than a message may be, or cannot stand "
        "where it does",
        "refuses it when its head has come",
        "nobody should send in vain",
        Play(
            (
                *OPENING,
                app("listen"),
                client("send", raw(CONTINUATION, bytes(40))[:6]),
                client("send", raw(PING)),
            )
        ),
        _head,
    ),
    Difference(
        "words",
        ("wsproto",),
        "says in its own words what is wrong with what came, with 1007 if it cannot be inflated, "
        "and if it is about a message says it to its application only",
        "says it in those of the `websockets` library, with 1002 in that case, and always in a "
        "Close frame, too",
        "RFC 6455 7.1.7",
        Play((*OPENING, app("listen"), client("send", raw(CONTINUATION, b"more")))),
        _words,
    ),
)
