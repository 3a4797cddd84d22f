"""What changes on uvicorn's two newer protocols alone: a part of the list in `differences`."""

from __future__ import annotations

from ...support.client import CLOSE, TEXT, frame
from .difference import NEWER, Difference, is_disconnect
from .play import OPENING, Outcome, Play, app, client

FAILED = "application failed: "
MESSAGE_AND_CLOSE = frame(TEXT, b"last") + frame(CLOSE, b"\x03\xe8")


def _raises_over_tls(plain: Outcome, behind: Outcome, play: Play) -> None:
    if "close_notify" not in {one.end[0] for one in (plain, behind) if one.end is not None}:
        return
    raised = False
    for number, (mine, its) in enumerate(zip(plain.told, behind.told, strict=False)):
        what, result, when = mine
        if what in {"send", "close"} and its == (what, "OSError", when):
            raised = True  # perhaps by itself, too
        elif not raised:
            continue
        elif mine[:2] == ("left", "RuntimeError") and its[:2] == ("left", "OSError"):
            plain.logged.remove(f"{FAILED}RuntimeError")
        # By itself it has queued the end that the application asked for, too late.
        elif not (is_disconnect(result) and is_disconnect(its[1]) and result["code"] == 4000):
            continue
        plain.told[number] = its


def _told_the_end(plain: Outcome, behind: Outcome, play: Play) -> None:
    if not plain.told or plain.told[-1][:2] != ("left", "AttributeError"):
        return
    rest = behind.told[len(plain.told) - 1 :]
    if rest and is_disconnect(rest[0][1]):
        plain.told[-1:] = rest
        plain.logged.remove(f"{FAILED}AttributeError")


ENTRIES = (
    Difference(
        "raises over TLS",
        NEWER,
        "over wss `send` does nothing, or raises `RuntimeError`, until a client that was closed "
        "has answered TLS's close_notify, too",
        "raises `ClientDisconnected` at once, as over ws",
        "an application must learn that nobody will get what it sends",
        Play(
            (
                *OPENING,
                client("stop"),
                client("noise", "broken"),
                app("close", 4000),
                client("go on"),
            )
        ),
        _raises_over_tls,
        scheme="wss",
    ),
    Difference(
        "told the end over TLS",
        NEWER,
        "over wss, on asyncio, `receive` can raise `AttributeError` where the end would follow "
        "the last message",
        "returns `websocket.disconnect`",
        "the end of a connection is no error of its application",
        Play((*OPENING, client("send", MESSAGE_AND_CLOSE), app("listen"))),
        _told_the_end,
        scheme="wss",
    ),
)
