"""Level 2: failing a connection."""

from __future__ import annotations

import time
from functools import partial

from .checks import check
from .endings import NORMAL
from .level1 import none_held, works
from .outcomes import require
from .peer import BINARY, CLOSE, PATIENCE, PING, PONG, TEXT, close_of, frame
from .trial import LATE, Link, Trial

CODE, REASON = 4000, "why"
GONE = {"type": "websocket.disconnect", "code": CODE, "reason": REASON}
MORE = 2_000_000
"""And so many more when reading is to go on."""

MOST = 16 * 2**20
"""So many bytes a peer sends at the most, to see reading paused."""


def fail(link: Link, timeout: float = 2.0) -> None:
    """Fail a connection."""
    link.remote.call("fail", CODE, REASON, timeout)


def failed(link: Link) -> None:
    """Require that the peer gets the Close frame of `fail`."""
    frames, _ = link.peer.until_end(LATE)
    code, reason = next((close_of(data) for opcode, data in frames if opcode == CLOSE), (0, ""))
    require(code, "the peer got no Close frame")
    require((code, reason) == (CODE, REASON), f"the Close frame has {code} {reason}")


@check("2.1")
def reading_peer_gets_the_close_frame_then_fin(trial: Trial) -> str:
    link = trial.taken()
    link.remote.begin(
        ("send", "send", {"text": "before"}),
        ("call", "ping", b"before"),
        ("call", "fail", CODE, REASON, 2.0),
    ).result()
    link.peer.expect(TEXT, b"before")
    link.peer.expect(PING, b"before")
    close, end = link.peer.expect(CLOSE), link.peer.until_end()
    require(close_of(close) == (CODE, REASON), f"the Close frame has {close_of(close)}")
    require(end == ([], "FIN"), f"behind the Close frame the peer got {end[1]}")
    link.peer.send(CLOSE, NORMAL)
    link.peer.half_close()
    time.sleep(0.1)
    require(not link.peer.was_reset(), "the peer got RST when it closed")
    return "a message, a Ping, the Close frame, FIN; no RST"


@check("2.2")
def blocked_receive_ends(trial: Trial) -> str:
    link = trial.taken()
    receiving = link.remote.begin(("receive",))
    fail(link, 20.0)
    event = receiving.result(LATE)
    require(event["type"] == GONE["type"], f"receive returned {event}")
    return "receive"


@check("2.2")
def blocked_send_ends(trial: Trial) -> str:
    link = trial.taken(stalled=True)
    stream = link.blocked()
    fail(link, 20.0)
    return f"send with {stream.raises('OSError', LATE)}"


@check("2.3")
def ready_messages_come_before_the_disconnect(trial: Trial) -> str:
    ahead = "read_ahead" in trial.offered
    texts = ["first", "second"] if ahead else ["first"]
    link = trial.taken(*([("read_ahead",)] if ahead else []))
    # Without level 3 a Pong behind a message may not be seen.
    ready = [frame(TEXT, text.encode()) for text in texts]
    pong = link.pinged(b"all there")
    link.peer.write(b"".join([*ready, pong] if ahead else [pong, *ready]))
    link.remote.wait(lambda: link.remote.pongs, "the Pong was not told")
    time.sleep(0.05)
    fail(link)
    link.peer.send(TEXT, b"late")
    time.sleep(0.05)
    for text in texts:
        event = link.remote.do("receive")
        require(event.get("text") == text, f"receive returned {event} instead of {text!r}")
    for _ in range(3):
        event = link.remote.do("receive")
        require(event == GONE, f"receive returned {event}")
    return f"{len(texts)} ready, then the disconnect three times"


@check("2.4")
def later_sends_raise(trial: Trial) -> str:
    raised = set()
    for step in ("send", "send", {"text": "late"}), ("zeros", 4), ("send", "close", {}):
        link = trial.taken()
        at_once = link.remote.begin(("call", "fail", CODE, REASON, 2.0), step)
        raised |= {at_once.raises("OSError"), link.remote.refuses("OSError", *step)}
    return " and ".join(sorted(raised))


@check("2.5")
def reading_resumes(trial: Trial) -> str:
    link = trial.taken()
    was_blocked = link.peer.flood(frame(BINARY, bytes(100_000)), MOST)
    fail(link, PATIENCE)
    try:
        link.peer.write(link.peer.rest + frame(BINARY, bytes(MORE)))
    except OSError as exc:
        # TLS has no half-close: who still sends behind the peer's close_notify breaks it.
        require(trial.run.tls, f"the peer cannot go on: {exc!r}")
    failed(link)
    return f"{'after being blocked ' if was_blocked else ''}2 MB more, then the Close frame"


def kernel_is_free(timeout: float, trial: Trial) -> str:
    """Check the kernel's sockets after a timeout."""
    # It has a timeout of its own.
    other = [("call", "bound_closing", 10.0)] if "bound_closing" in trial.offered else []
    link = trial.taken(*other, stalled=True)
    link.blocked()
    fail(link, timeout)
    return f"{link.freed(timeout):.1f} s after a timeout of {timeout}"


for _timeout in 0.4, 0:
    check("2.6")(partial(kernel_is_free, _timeout))


@check("2.7")
def wrong_arguments_are_refused(trial: Trial) -> str:
    link = trial.taken()
    for code, reason, timeout in [
        (1005, "", 1),
        (1006, "", 1),
        (CODE, "x" * 124, 1),
        (CODE, "é" * 62, 1),
        (CODE, "", -1),
    ]:
        link.remote.refuses("ValueError", "call", "fail", code, reason, timeout)
        works(link)
    return "ValueError 5 times, and the connection worked on"


@check("2.7")
def fail_is_refused_before_accept(trial: Trial) -> str:
    link = trial.connect()
    link.remote.begin(("take_over",), ("call", "fail", CODE, REASON, 1)).raises("OSError")
    link.remote.begin(("receive",), ("send", "accept", {})).result()
    link.peer.open()
    works(link)
    return "OSError before Accept"


@check("2.7")
def fail_is_refused_after_the_end(trial: Trial) -> str:
    failed_one, closed = trial.taken(), trial.taken()
    fail(failed_one)
    closed.peer.send(CLOSE, NORMAL)
    closed.peer.expect(CLOSE)
    for link in failed_one, closed:
        link.remote.refuses("OSError", "call", "fail", CODE, REASON, 1)
    return "and after the end"


@check("2.8")
def no_callback_is_called(trial: Trial) -> str:
    link = trial.taken(*([("read_ahead",)] if "read_ahead" in trial.offered else []))
    pong = link.pinged(b"late")
    fail(link)
    link.peer.write(pong + frame(CLOSE, NORMAL))
    link.peer.until_end()
    time.sleep(0.05)
    told = ", ".join(link.remote.order)
    require(not told, f"after fail the application was told: {told}")
    none_held(link)
    return "none, for a Pong, a Close frame and FIN"


@check("2.9")
def callback_may_fail_the_connection(trial: Trial) -> str:
    link = trial.accepted(("take_over", REASON))
    link.peer.write(link.pinged(b"any") + frame(PONG, b"late") + frame(TEXT, b"late"))
    event = link.remote.do("receive")
    require(event == GONE, f"receive returned {event}")
    require(len(link.remote.pongs) == 1, "on_pong was called again")
    return "the disconnect alone"
