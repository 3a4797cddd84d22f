"""Level 3: reading ahead of the application."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from contextlib import suppress

from .checks import check
from .endings import NORMAL
from .level1 import none_held
from .outcomes import NotSeen, require
from .peer import BINARY, CLOSE, PING, PONG, TEXT, frame
from .trial import Bounds, Link, Trial

MIB = 2**20
MANY, MUCH = 1024, 16 * MIB
"""Reading must have paused behind so many messages, and so many bytes."""

SETTLED = 0.3
"""Seconds in which the server would have read more."""

COMPRESSED = 0x40
"""RSV1, beside the opcode."""


def ahead(trial: Trial, headers: str = "") -> Link:
    """Return a connection on which the server reads ahead."""
    return trial.taken(("read_ahead",), headers=headers)


def between_pings(payloads: Iterator[bytes], opcode: int) -> Iterator[bytes]:
    """Yield messages, each with a Ping behind it."""
    for payload in payloads:
        yield frame(opcode, payload) + frame(PING)


def bounds(trial: Trial) -> Bounds:
    """Return how much the server reads ahead: its Pongs tell what it has parsed."""
    return trial.run.bounds(lambda: Bounds(_messages(trial), _bytes(trial)))


def _messages(trial: Trial) -> int:
    link = ahead(trial)
    link.peer.write(b"".join(between_pings((b"unread" for _ in range(MANY)), TEXT)))
    return parsed(link)


def _bytes(trial: Trial) -> int:
    link = ahead(trial)
    for part in between_pings((bytes(MIB) for _ in range(MUCH // MIB)), BINARY):
        if link.remote.pauses or link.peer.flood(part, 1):
            break
    return MIB * parsed(link)


def parsed(link: Link) -> int:
    """Return how many messages the server has read when it reads no more."""
    count = 1  # reading pauses at a message, before the Ping behind it
    with suppress(TimeoutError):
        while link.peer.receive(SETTLED)[0] == PONG:
            count += 1
    return count


@check("3.1")
def within_the_bound_pongs_and_pings_are_seen(trial: Trial) -> str:
    count = bounds(trial).messages - 1
    require(count > 0, "reading pauses at the first unread message")
    link = ahead(trial)
    pong = link.pinged(b"seen")
    link.peer.write(frame(TEXT, b"unread") * count + pong + frame(PING, b"peer's"))
    link.peer.expect(PONG, b"peer's")
    link.remote.wait(lambda: link.remote.pongs, "the Pong was not told")
    require(not link.remote.pauses, "reading has paused")
    link.peer.send(CLOSE, NORMAL)
    link.peer.expect(CLOSE)
    link.remote.closed()
    return f"behind {count} messages a Pong, a Ping and a Close frame"


@check("3.1")
def within_the_bound_the_end_is_seen(trial: Trial) -> str:
    count = bounds(trial).messages - 1
    link = ahead(trial)
    link.peer.write(frame(TEXT, b"unread") * count)
    link.peer.half_close()
    link.remote.closed()
    return "EOF"


@check("3.2")
def beyond_the_bound_reading_pauses(trial: Trial) -> str:
    most = bounds(trial).messages
    count = 4 * most
    link = ahead(trial)
    before = time.monotonic()
    messages = b"".join(frame(TEXT, b"%d" % number) for number in range(count))
    link.peer.write(messages + link.pinged(b"behind"))
    link.remote.wait(lambda: link.remote.pauses, "on_read_paused was not called")
    time.sleep(0.1)
    require([one.paused for one in link.remote.pauses] == [True], "it was not called once")
    require(not link.remote.pongs, "the Pong behind them has been read")
    half = [link.remote.do("receive").get("text") for _ in range(most - most // 2)]
    link.remote.wait(lambda: len(link.remote.pauses) > 1, "after half reading does not go on")
    texts = half + [link.remote.do("receive").get("text") for _ in range(count - len(half))]
    require(texts == [str(number) for number in range(count)], "messages are lost, or in disorder")
    link.remote.wait(lambda: link.remote.pongs, "reading does not go on")
    link.remote.wait(lambda: not link.remote.pauses[-1].paused, "that reading goes on is not told")
    pauses = link.remote.pauses
    require([one.paused for one in pauses] == [True, False] * (len(pauses) // 2), "in disorder")
    require(all(before <= one.at <= one.told for one in pauses), "its time is not that of the call")
    return f"paused after {most} of {count} messages, went on {len(pauses) // 2}x"


@check("3.2")
def bytes_are_bounded(trial: Trial) -> str:
    most = bounds(trial).bytes
    require(most < MUCH, f"{most // MIB} messages of 1 MiB have been read")
    return f"and after {most // MIB} of 1 MiB"


def compressed(size: int) -> bytes:
    """Return a message of zeros as permessage-deflate compresses it."""
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(bytes(size)) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


@check("3.3")
def bound_holds_within_one_read(trial: Trial) -> str:
    most = bounds(trial).bytes
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"
    link = ahead(trial, headers=offer)
    if "permessage-deflate" not in link.peer.head.lower():
        raise NotSeen("the server does not agree to permessage-deflate")
    payloads = (compressed(MIB) for _ in range(8))
    link.peer.write(b"".join(between_pings(payloads, BINARY | COMPRESSED)))
    count = parsed(link)
    require(count * MIB <= most + MIB, f"{count} MiB are in memory, with a bound of {most} bytes")
    return f"{count} MiB, with a bound of {most / MIB:.1f} MiB"


def overfill(link: Link) -> None:
    """Send far more than the bound."""
    link.peer.write(frame(TEXT, b"unread") * MANY)
    time.sleep(SETTLED)


@check("3.4")
def closing_reads_on(trial: Trial) -> str:
    link = ahead(trial)
    overfill(link)
    link.remote.begin(("send", "close", {}))
    link.remote.closed()
    link.peer.write(frame(TEXT, b"more" * 10_000) * 100)
    link.peer.send(CLOSE, NORMAL)
    _, end = link.peer.until_end()
    require(end == "FIN", f"the peer got {end}")
    return "4 MB more were read, then FIN"


@check("3.5")
def callback_is_replaced_and_dropped(trial: Trial) -> str:
    link = ahead(trial)
    link.remote.do("read_ahead")
    overfill(link)
    if not link.remote.pauses:
        raise NotSeen("on_read_paused was not called")
    require(link.remote.pauses[0].number == 3, "the first callback is called")
    link.remote.begin(("send", "close", {}))
    link.remote.closed()
    none_held(link, 2)
    return "the second callback, and no reference after the end"
