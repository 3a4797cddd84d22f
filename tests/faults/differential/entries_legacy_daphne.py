"""What changes on uvicorn's `websockets`, or daphne, alone: a part of the list."""

from __future__ import annotations

from ...support.client import CLOSE
from .difference import Difference, cleanly, close_frame, does
from .frames import CONTINUATION, raw
from .play import OPENING, Outcome, Play, app, client

MORE = client("send", raw(CONTINUATION, b"more", fin=False))
TIMED_OUT = CLOSE, b"\x03\xf3keepalive ping timeout"


def _bounded(plain: Outcome, behind: Outcome, play: Play) -> None:
    answered = close_frame(plain) == 1000 and does(play, "client", "noise", "send")
    closed = close_frame(behind) == 4000 and does(play, "app", "close", "bye")
    if behind.behind and not plain.behind and answered and closed:
        plain.frames[-1] = behind.frames[-1]


def _upload(plain: Outcome, behind: Outcome, play: Play) -> None:
    kept = not plain.frames and plain.end == ("nothing", "ever")
    if kept and behind.frames == [TIMED_OUT] and MORE in play.moves:
        plain.frames, plain.end, plain.freed = behind.frames, behind.end, behind.freed
        plain.told = behind.told
        plain.logged += [line for line in behind.logged if "keepalive ping timeout" in line]


BOUNDED = Difference(
    "bounded",
    ("daphne",),
    "queues messages that its application has not received without bound",
    "pauses reading at 32 or 1 MiB, and so does not see a Close frame behind them until its "
    "application has received some, or closes",
    "one client must not fill the memory",
    Play(
        (*OPENING, *[client("messages", 20)] * 3, client("noise", "Close"), app("close", 4000)),
    ),
    _bounded,
)
BOUNDED_BYTES = Difference(
    "bounded bytes",
    ("websockets",),
    "pauses reading once 32 messages (`ws_max_queue`) are unread, however large, and resumes at 31",
    "at 1 MiB, too, and resumes at half; what its client sends behind that is seen once its "
    "application has received some, or closes",
    "one client must not fill the memory",
    Play((*OPENING, client("stream", 65536, 20), client("noise", "Ping"), app("close", 4000))),
    lambda plain, behind, play: None,  # see `compared`
)
FIN_OVER_TLS = Difference(
    "FIN over TLS",
    ("websockets",),
    "over wss closes TCP with what the client has sent unread, which resets it",
    "reads and discards it, and ends with TLS's close_notify and FIN",
    "a reset can destroy what the client has not read yet, the Close frame for one",
    Play((*OPENING, client("stream", 65536, 40), app("return"))),
    cleanly,
    scheme="wss",
)
UPLOAD = Difference(
    "upload",
    ("daphne",),
    "keeps a client that answers no Ping as long as it sends whole messages or fragments",
    "fails it with 1011",
    "only a Pong tells that the client still reads, and how soon",
    Play(
        (*OPENING, app("listen"), client("noise", "half a message"), *[MORE] * 22),
        pause=0.1,
        patience=0.1,
    ),
    _upload,
    settings={"ping_interval": 0.3, "ping_timeout": 1.7, "own_pings": True},
)
