"""Level 4: every ending is bounded."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any

from .checks import at_shutdown, check
from .endings import ENDINGS, NORMAL
from .level3 import overfill
from .outcomes import NotSeen, require
from .peer import BINARY, CLOSE, NONSENSE, close_of
from .remote import Task
from .trial import LATE, Link, Trial

BOUND, LONG = 0.4, 10.0
SIZE = 900_000


def bounded(trial: Trial, bound: float = BOUND, **options: Any) -> Link:
    """Return a connection with a bound."""
    return trial.taken(("call", "bound_closing", bound), **options)


def _closes(link: Link, stream: Task) -> None:
    link.remote.begin(("send", "close", {}))


def _closes_and_cancels(link: Link, stream: Task) -> None:
    closing = link.remote.begin(("send", "close", {}))
    time.sleep(0.1)  # until it has reached the server
    link.remote.do("cancel", closing.number)


def _returns(link: Link, stream: Task) -> None:
    link.remote.do("cancel", stream.number)
    link.remote.end()


ENDS: dict[tuple[str, str], Callable[[Link, Task], object]] = {
    ("4.1", "the application's Close"): _closes,
    ("4.1", "one that is cancelled"): _closes_and_cancels,
    ("4.1", "its return"): _returns,
    ("4.2", "the peer's Close frame"): lambda link, stream: link.peer.send(CLOSE, NORMAL),
    ("4.2", "its EOF"): lambda link, stream: link.peer.say_eof(),
    ("4.2", "a protocol error"): lambda link, stream: link.peer.write(NONSENSE),
}


def kernel_is_free(name: str, end: Callable[[Link, Task], object], trial: Trial) -> str:
    """Check the kernel's sockets after an ending."""
    link = bounded(trial, stalled=True)
    stream = link.blocked()
    end(link, stream)
    link.remote.end()
    return f"{link.freed(BOUND):.1f} s after {name}"


@check("4.1")
def kernel_is_free_at_once(trial: Trial) -> str:
    link = bounded(trial, 0, stalled=True)
    _closes(link, link.blocked())
    return f"{link.freed(0):.1f} s with a timeout of 0"


@check("4.1")
def nothing_restarts_the_clock(trial: Trial) -> str:
    bound = LATE + BOUND
    link = bounded(trial, bound, stalled=True)
    _closes(link, link.blocked())
    time.sleep(bound - 0.1)
    with suppress(OSError):
        link.peer.send(CLOSE, NORMAL)
        link.peer.say_eof()
    link.remote.end()
    return f"{bound - 0.1 + link.freed(0.1):.1f} s with a Close frame and EOF of the peer after it"


for (_box, _name), _end in ENDS.items():
    check(_box)(partial(kernel_is_free, _name, _end))


@at_shutdown("4.1")
def kernel_is_free_after_the_shutdown(trial: Trial) -> Generator[None, None, str]:
    link = bounded(trial, stalled=True)
    link.blocked()
    yield
    link.remote.closed()
    link.remote.end()
    return f"{link.freed(BOUND):.1f} s after the server's shutdown"


@check("4.3")
def blocked_send_ends_at_the_peers_eof(trial: Trial) -> str:
    link = bounded(trial, stalled=True)
    stream = link.blocked()
    link.peer.say_eof()
    raised = {stream.raises("OSError")}
    raised |= {link.remote.refuses("OSError", "send", "send", {"text": "late"}) for _ in range(2)}
    return f"{' and '.join(sorted(raised))}, three times"


@check("4.3")
def blocked_send_ends_at_a_fin_without_close_notify(trial: Trial) -> str:
    if trial.run.tls is None:
        raise NotSeen("this is for TLS")
    link = bounded(trial, stalled=True)
    stream = link.blocked()
    if "uvloop" in link.remote.loop:
        raise NotSeen("uvloop does not tell of a FIN without close_notify")
    link.peer.half_close()
    stream.raises("OSError")
    return "also without close_notify"


@check("4.3")
def send_raises_after_an_idle_peers_eof(trial: Trial) -> str:
    link = bounded(trial)
    link.peer.say_eof()
    link.remote.closed()
    link.remote.refuses("OSError", "send", "send", {"text": "late"})
    return "also with an idle peer"


def no_reset(name: str, trial: Trial) -> str:
    """Check that a peer which reads everything gets no RST."""
    link = bounded(trial, LONG, receive_buffer=65536)
    sending = link.remote.begin(("zeros", SIZE))
    time.sleep(0.1)
    if name == "its return":
        link.remote.do("cancel", sending.number)
    ENDINGS[name](link)
    time.sleep(0.1)
    opcode, payload = link.peer.receive()
    require((opcode, len(payload)) == (BINARY, SIZE), f"after {name} the message did not come")
    _, end = link.peer.until_end(answering=True)
    require(end == "FIN", f"after {name} the peer got {end}")
    return f"900 KB, then FIN after {name}"


for _name in "the application's Close", "its return", "the peer's Close frame":
    check("4.4")(partial(no_reset, _name))


@check("4.4")
def no_reset_with_much_unread(trial: Trial) -> str:
    if "read_ahead" not in trial.offered:
        raise NotSeen("without level 3 the server itself decides what it reads")
    link = trial.taken(("read_ahead",), ("call", "bound_closing", LONG))
    overfill(link)
    link.remote.end()
    link.remote.closed()
    _, end = link.peer.until_end(answering=True)
    require(end == "FIN", f"with much unread the peer got {end}")
    return "also with much unread"


@check("4.5")
def later_call_sets_another_bound(trial: Trial) -> str:
    link = bounded(trial, LONG, stalled=True)
    link.blocked()
    link.remote.call("bound_closing", BOUND)
    link.remote.refuses("ValueError", "call", "bound_closing", -1)
    link.remote.begin(("send", "close", {}))
    time.sleep(0.1)
    link.remote.call("bound_closing", LONG)
    link.remote.end()
    return f"{link.freed(BOUND):.1f} s with the last bound before the end, {BOUND}"


@check("4.6")
def protocol_error_is_told(trial: Trial) -> str:
    link = bounded(trial)
    link.peer.write(NONSENSE)
    code, reason = close_of(link.peer.expect(CLOSE))
    require(code == 1002, f"the Close frame has {code} {reason}")
    return f"{code} {reason}".rstrip()
