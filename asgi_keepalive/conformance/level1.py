"""Level 1: Pings and Pongs."""

from __future__ import annotations

import re
import time

from .application import DELIBERATE
from .checks import check
from .endings import NORMAL, SETTLED, leave, refused
from .outcomes import Failed, NotSeen, require
from .page import LEVELS
from .peer import BINARY, CLOSE, NONSENSE, PING, PONG, TEXT, frame, shown
from .trial import LATE, Link, Trial

SILENCE = 1.0
"""Seconds for which a peer answers nothing, if the server's own keepalive is not known."""


@check("1.1")
def extension_is_in_every_scope(trial: Trial) -> str:
    for headers in "", "Sec-WebSocket-Protocol: one, two\r\n", "Origin: http://localhost\r\n":
        link = trial.accepted(headers=headers)
        missing = set(LEVELS[1]) - link.remote.functions
        require(not missing, f"there is no {' and no '.join(sorted(missing))}")
        found = link.remote.functions
    return ", ".join(sorted(found))


@check("1.2")
def connection_that_nobody_takes_over_works(trial: Trial) -> str:
    link = trial.accepted()
    link.peer.write(frame(PING, b"p") + frame(TEXT, b"one"))
    link.peer.expect(PONG, b"p")
    require(link.remote.do("receive").get("text") == "one", "the application got another message")
    link.remote.send("send", text="two")
    link.peer.expect(TEXT, b"two")
    link.peer.send(CLOSE, NORMAL)
    link.peer.expect(CLOSE)
    return "messages, a Pong and the closing handshake"


@check("1.2")
def servers_own_keepalive_is_on_without_take_over(trial: Trial) -> str:
    if trial.run.keepalive is None:
        raise NotSeen("--keepalive does not tell when the server's own keepalive is to be seen")
    link = trial.accepted()
    opcode, payload = link.peer.receive(2 * trial.run.keepalive + LATE)
    require(opcode == PING, f"the peer got {shown(opcode, payload)} instead of the server's Ping")
    return "the server's own Ping"


@check("1.3")
def server_leaves_the_keepalive_to_the_caller(trial: Trial) -> str:
    link = trial.taken()
    silence = max(SILENCE, 3.5 * (trial.run.keepalive or 0))
    try:
        found = link.peer.receive(silence)
    except TimeoutError:
        link.remote.call("ping", b"asked for")
        link.peer.expect(PING, b"asked for")
        return f"nothing in {silence:.1f} s, then the Ping asked for"
    raise Failed(f"the peer got {shown(*found)}")


@check("1.4")
def second_take_over_raises(trial: Trial) -> str:
    link = trial.taken()
    link.remote.refuses("RuntimeError", "take_over")
    link.peer.write(link.pinged(b"one"))
    link.remote.wait(lambda: link.remote.pongs, "the first on_pong is not called any more")
    link.peer.send(CLOSE, NORMAL)
    link.peer.expect(CLOSE)
    time.sleep(SETTLED)
    numbers = {link.remote.pongs[0].number, *(one.number for one in link.remote.closings)}
    require(numbers == {0}, "the callbacks of the second take_over were called")
    return "RuntimeError, and the first callbacks"


@check("1.5")
def ping_right_after_accept_is_on_the_wire(trial: Trial) -> str:
    link = trial.connect()
    whole = bytes(range(125))
    pings = ("call", "ping", b""), ("call", "ping", whole)
    link.remote.begin(("take_over",), ("receive",), ("send", "accept", {}), *pings)
    link.peer.open()
    for payload in b"", whole:
        link.peer.expect(PING, payload)
    return "both Pings"


@check("1.6")
def payload_of_126_bytes_is_refused(trial: Trial) -> str:
    link = trial.taken()
    link.remote.refuses("ValueError", "call", "ping", bytes(126))
    works(link)
    return "ValueError, then a Ping and a message"


def works(link: Link) -> None:
    """Require that a connection works."""
    link.remote.call("ping", b"good")
    link.peer.expect(PING, b"good")
    link.peer.send(TEXT, b"hello")
    require(link.remote.do("receive").get("text") == "hello", "the application got no message")


@check("1.7")
def ping_does_not_wait(trial: Trial) -> str:
    link = trial.taken(stalled=True)
    link.blocked()
    sent = link.remote.do("sent")
    began = time.monotonic()
    link.remote.call("ping", b"behind")
    took = time.monotonic() - began
    require(took < LATE, f"ping took {took:.1f} s")
    before = 0
    while (found := link.peer.receive()) != (PING, b"behind"):
        before += found[0] == BINARY
    # The message that was waiting may have been buffered, and some servers write before they wait.
    require(before in {sent, sent + 1}, f"{before} messages were before the Ping, not {sent}")
    return f"the Ping behind {before} messages of 64 KiB"


@check("1.8")
def each_pong_is_told(trial: Trial) -> str:
    link = trial.taken()
    payloads = [b"unsolicited", b"mine", bytes(125), b""]
    link.peer.send(PONG, payloads[0])
    link.remote.wait(lambda: link.remote.pongs, "the unsolicited Pong was not told")
    link.remote.call("ping", b"mine")
    link.peer.send(PONG, link.peer.expect(PING))
    for payload in payloads[2:]:
        link.peer.send(PONG, payload)
    link.remote.wait(lambda: len(link.remote.pongs) >= 4, "not all Pongs were told")
    found = [pong.payload for pong in link.remote.pongs]
    require(found == payloads, f"on_pong got {found!r:.80}")
    require(all(pong.here for pong in link.remote.pongs), "on_pong was called in another thread")
    return "4 Pongs in order"


@check("1.9")
def time_of_a_pong_is_monotonic(trial: Trial) -> str:
    link = trial.taken()
    for number in range(5):
        pong = link.pinged(b"%d" % number)
        time.sleep(0.0017)
        before = time.monotonic()
        link.peer.write(pong)
        link.remote.wait(lambda: len(link.remote.pongs) > number, "a Pong was not told")  # noqa: B023
        told = link.remote.pongs[number]
        order = f"{before:.6f} <= {told.at:.6f} <= {told.told:.6f}"
        require(before <= told.at <= told.told, f"it does not hold that {order}")
    times = [pong.at * 1000 for pong in link.remote.pongs]
    whole = all(abs(at - round(at)) < 1e-5 for at in times)
    require(not whole, "each time is a whole number of milliseconds")
    return f"for 5 Pongs, the last {order}"


@check("1.10")
def pong_before_the_end_is_told_before_it(trial: Trial) -> str:
    for name, end in ("a Close frame", frame(CLOSE, NORMAL)), ("a protocol error", NONSENSE):
        link = trial.taken()
        link.peer.write(link.pinged(b"last") + end)
        link.remote.closed()
        order = link.remote.order[:2]
        require(order == ["pong", "closing"], f"before {name}, the order was {', '.join(order)}")
    return "before a Close frame and a protocol error"


@check("1.12")
def late_take_over_calls_on_closing(trial: Trial) -> str:
    left, closed = trial.accepted(), trial.accepted()
    tasks = [
        left.remote.begin(("receive",), ("take_over",)),
        closed.remote.begin(("send", "close", {}), ("take_over",)),
    ]
    closed.peer.expect(CLOSE)
    for link, task in zip((left, closed), tasks, strict=True):
        link.peer.send(CLOSE, NORMAL)
        link.peer.half_close()  # some servers tell the application no sooner
        times = task.result()
        require(times == 1, f"on_closing had been called {times} times when take_over returned")
        leave(link)
    return "after the peer's Close frame and the application's Close"


@check("1.13")
def ping_is_refused_before_accept(trial: Trial) -> str:
    link = trial.connect()
    link.remote.begin(("take_over",), ("call", "ping", b"early")).raises("OSError")
    link.remote.begin(("receive",), ("send", "accept", {})).result()
    link.peer.open()
    works(link)
    return "before Accept"


@check("1.13")
def ping_is_refused_after_a_denial(trial: Trial) -> str:
    link = trial.connect()
    link.remote.begin(("take_over",), ("receive",), ("send", "close", {}))
    link.peer.response()
    refused(link, "a denial")
    return "after a denial"


@check("1.13")
def ping_is_refused_while_a_close_is_blocked(trial: Trial) -> str:
    link = trial.taken(stalled=True)
    link.blocked()
    link.remote.begin(("send", "close", {}))
    refused(link, "a Close that is blocked")
    return "while a Close is blocked"


@check("1.14")
def callbacks_are_dropped(trial: Trial) -> str:
    link = trial.taken()
    link.peer.send(CLOSE, NORMAL)
    link.peer.expect(CLOSE)
    none_held(link)
    return "no reference after the peer's Close frame"


def none_held(link: Link, first: int = 0) -> None:
    """Require that soon nothing refers to a callback, from the one with this number on."""
    end = time.monotonic() + LATE
    while held := [number for number in link.remote.do("held") if number >= first]:
        require(time.monotonic() < end, f"{len(held)} callbacks are referred to")
        time.sleep(0.05)


@check("1.14")
def late_pong_is_not_told(trial: Trial) -> str:
    link = trial.taken()
    link.remote.begin(("send", "close", {}))
    link.peer.expect(CLOSE)
    none_held(link)
    link.peer.write(frame(PONG, b"late") + frame(CLOSE, NORMAL))
    leave(link)
    require(not link.remote.pongs, "on_pong was called after on_closing")
    return "no call for a Pong after the application's Close"


ERROR = re.compile(
    r"\b(?:ERROR|CRITICAL|FATAL)\b|Traceback \(|never retrieved|Exception (?:in|ignored)|Unhandled"
)
"""A line of a log that tells of an error, whatever the format."""

TRACEBACK = re.compile(
    r"$|[\s|+]|Traceback|During handling|The above exception|(?:handle|transport|task|future): "
)
"""The beginning of a line that belongs to a traceback."""

NO_FAULT = re.compile(f"{DELIBERATE}|CancelledError")
"""The end of one that says nothing: Python 3.11.7 logs tasks that are cancelled at the shutdown."""


def errors_of(log: str) -> list[str]:
    """Return the lines that tell of an error which no check has asked for."""
    kept: list[str] = []
    for line in log.splitlines():
        if not NO_FAULT.search(line):
            kept.append(line)
        elif not ERROR.search(line):  # the end of its traceback
            while kept and TRACEBACK.match(kept[-1]):
                kept.pop()
            if kept and ERROR.search(kept[-1]):
                kept.pop()
    return [line for line in kept if ERROR.search(line)]


@check("1.15", is_last=True)
def nothing_is_logged_as_an_error(trial: Trial) -> str:
    log = trial.run.target.log()
    errors = errors_of(log)
    for line in errors:
        trial.trace(line)
    require(not errors, f"{len(errors)} lines tell of errors")
    return f"none of {len(log.splitlines())} lines"
