"""The promises, each tried on a running server by clients that misbehave.

Each function returns `None` if the promise was kept, or else what happened instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from ..support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, close_code, frame
from .play import EARLY, LATE, Play, frames, wait_for
from .servers import UNREAD

DELAY = 0.05
"""How long a client takes for its Pong where the latency is asked for, in seconds."""

SENDERS = 5
"""How many clients have an application that only sends."""


def same(payload: bytes) -> bytes:
    return payload


def nothing(payload: bytes) -> None:
    return None


def wrong(payload: bytes) -> bytes:
    return bytes(len(payload))


def noticed(play: Play, name: str, what: str = "ended") -> str | None:
    """Whether the application is told in time, and not early, that its client is dead."""
    opened = play.opened(name)
    at = play.told(name, what, opened + play.row.latest + LATE)
    if at is None:
        return "not noticed"
    if at - opened < play.row.earliest - EARLY:
        return f"ended after {at - opened:.2f} s already"
    return None


def silent_noticed(play: Play) -> str | None:
    name = "listen/silent"
    with play.client(name):
        return noticed(play, name)


def silent_1011(play: Play) -> str | None:
    name = "listen/1011"
    with play.client(name) as client:
        opened = play.opened(name)
        code = play.told(name, "code", opened + play.row.latest + LATE)
        if code != 1011:
            return f"the application is told {code}"
        closes = [payload for opcode, payload in frames(client, LATE, nothing) if opcode == CLOSE]
        codes = [close_code(payload)[0] for payload in closes]
        return None if codes == [1011] else f"the client is told {codes}"


def frozen_noticed(play: Play) -> str | None:
    name = "stream/noticed"
    with play.client(name, reads=False) as client:
        if not play.fills(client):
            return "nothing blocks"
        return noticed(play, name, "released")


def frozen_freed(play: Play) -> str | None:
    name = "stream/freed"
    with play.client(name, reads=False) as client:
        if not play.fills(client):
            return "nothing blocks"
        until = play.opened(name) + play.row.latest + play.row.close_timeout + LATE
        return freed(play, client, until)


def freed(play: Play, client: Client, until: float) -> str | None:
    """Whether the kernel holds nothing for a client by then."""
    if wait_for(lambda: play.held(client) is None, until):
        return None
    return f"the kernel holds {play.held(client)} B"


def sender_only(play: Play) -> str | None:
    # Where an error is a matter of luck, one of several is not told.
    with ThreadPoolExecutor(SENDERS) as threads:
        happened = threads.map(lambda number: _sender_only(play, number), range(SENDERS))
        return next((what for what in list(happened) if what is not None), None)


def _sender_only(play: Play, number: int) -> str | None:
    name = f"send-only/{number}"
    with play.client(name) as client, ThreadPoolExecutor() as threads:
        threads.submit(frames, client, play.row.latest + LATE, nothing)
        return noticed(play, name)


def busy(play: Play) -> str | None:
    name = "work"
    with play.client(name) as client:
        for number in range(UNREAD):
            client.send(TEXT, str(number).encode())
        found = frames(client, 2 * play.row.latest + 0.5, same)
        until = play.opened(name) + 2 * play.row.latest + LATE
        received = play.told(name, "received", until)
        if happened := lives(play, name, client, found):
            return happened
        return None if received == UNREAD else f"{received} of {UNREAD} messages received"


def lives(play: Play, name: str, client: Client, found: list[tuple[int, bytes]]) -> str | None:
    """Whether a client got Pings, and its last words reach the application."""
    if PING not in [opcode for opcode, _ in found]:
        return "no Ping came"
    if closes := [close_code(payload) for opcode, payload in found if opcode == CLOSE]:
        return f"the client is told {closes[0][0]}"
    try:
        client.send(TEXT, b"bye")
    except OSError as error:
        return f"the client saw {error!r}"
    if play.told(name, "text", time.monotonic() + LATE) == "bye":
        return None
    return f"the application is told {play.told(name, 'code', 0)}"


def wrong_pongs(play: Play) -> str | None:
    name = "listen/wrong"
    with play.client(name) as client, ThreadPoolExecutor() as threads:
        client.send(PONG, b"unsolicited")
        threads.submit(frames, client, play.row.latest + LATE, wrong)
        return noticed(play, name)


def close_told(play: Play) -> str | None:
    name = "listen/leaves"
    with play.client(name) as client:
        play.opened(name)
        client.send(CLOSE, (4001).to_bytes(2, "big") + b"bye")
        # A client closes its side when the server does, which some servers wait for.
        client.socket.settimeout(LATE)
        with suppress(TimeoutError):
            client.until_end()
        client.close()
        code = play.told(name, "code", time.monotonic() + LATE)
        return None if code == 4001 else f"the application is told {code}"


def gives_up(play: Play) -> str | None:
    name = "give-up"
    with play.client(name, reads=False) as client:
        if not play.fills(client):
            return "nothing blocks"
        returned = play.told(name, "returned", time.monotonic() + LATE)
        if returned is None:
            return "the application could not give up"
        return freed(play, client, returned + play.row.close_timeout + LATE)


def latency(play: Play) -> str | None:
    name = "measure"

    def late(payload: bytes) -> bytes:
        time.sleep(DELAY)
        return payload

    with play.client(name) as client:
        if PING not in [opcode for opcode, _ in frames(client, play.row.latest, late)]:
            return "no Ping came"
        client.send(TEXT, b"latency")
        seconds = play.told(name, "latency", time.monotonic() + LATE)
        if seconds is None:
            return "not told"
        return None if DELAY - EARLY < seconds < DELAY + LATE else f"{seconds:.3f} s"


def stalled(play: Play) -> str | None:
    for attempt in range(5):
        conclusive, happened = _stalled(play, attempt)
        if conclusive:
            return happened
    raise AssertionError("this machine is too busy: no Pong was sent in time")


def _stalled(play: Play, attempt: int) -> tuple[bool, str | None]:
    """Stall the event loop while two Pongs are in the kernel; were they sent in time?"""
    names = f"listen/by{attempt}", f"listen/stalls{attempt}"
    with play.client(names[0]) as bystander, play.client(names[1]) as stalls:
        clients = bystander, stalls
        pings = pinged(clients, time.monotonic() + play.row.latest + LATE)
        if pings is None:
            return True, "no Ping came"
        stalls.send(TEXT, b"stall")
        if play.told(names[1], "stalled", time.monotonic() + LATE) is None:
            return False, None
        bystander.socket.sendall(frame(BINARY, bytes(20_000)) * (play.row.before_pong // 20_000))
        for client, (_, ping) in zip(clients, pings, strict=True):
            client.send(PONG, ping)
        in_time = time.monotonic() < min(after for after, _ in pings) + play.row.timeout
        seconds = 2 * play.row.timeout + play.row.latest
        with ThreadPoolExecutor() as threads:
            found = list(threads.map(lambda client: frames(client, seconds, same), clients))
        for name, client, seen in zip(names, clients, found, strict=True):
            if happened := lives(play, name, client, [(PING, b""), *seen]):
                return in_time, f"{name}: {happened}"
        return in_time, None


def pinged(clients: Sequence[Client], until: float) -> list[tuple[float, bytes]] | None:
    """Return the first Ping of each client, and a time when it had not come yet."""
    found: dict[Client, tuple[float, bytes]] = {}
    waiting = dict.fromkeys(clients, time.monotonic())
    while waiting and time.monotonic() < until:
        for client, since in list(waiting.items()):
            client.socket.settimeout(0.01)
            now = time.monotonic()
            try:
                found[client] = since, client.expect(PING)
                del waiting[client]
            except TimeoutError:
                waiting[client] = now
            client.socket.settimeout(10)
    return None if waiting else [found[client] for client in clients]


def exits(play: Play) -> str | None:
    """Whether SIGTERM ends the server in bounded time; it is the last that is tried."""
    within = play.row.grace + play.row.close_timeout + 1 + LATE
    with (
        play.client("stream-unwatched/1", reads=False) as first,
        play.client("stream-unwatched/2", reads=False) as second,
    ):
        if not (play.fills(first) and play.fills(second)):
            return "nothing blocks"
        seconds = play.terminate(within)
        return None if seconds is not None else f"runs {within:.1f} s after SIGTERM"


class Promise(NamedTuple):
    """A column of the table."""

    title: str
    try_on: Callable[[Play], str | None]


TOGETHER = [
    Promise("a silent client is noticed", silent_noticed),
    Promise("the handler is told 1011", silent_1011),
    Promise("a frozen client is noticed", frozen_noticed),
    Promise("a frozen client's memory is freed", frozen_freed),
    Promise("`send` to a silent client raises", sender_only),
    Promise("a busy handler's client is kept", busy),
    Promise("wrong Pongs are ignored", wrong_pongs),
    Promise("the client's close code is told", close_told),
    Promise("memory is freed after the handler has returned", gives_up),
    Promise("the latency is known", latency),
]
"""These do not disturb each other."""

ALONE = [
    Promise("a stalled event loop closes nobody", stalled),
    Promise("the server exits on SIGTERM", exits),
]
"""These do; the last one ends the server."""

PROMISES = [*TOGETHER, *ALONE]


def tried(play: Play) -> dict[str, str | None]:
    """Try all promises on a server; return what happened, by their titles."""

    def happened(promise: Promise) -> str | None:
        try:
            return promise.try_on(play)
        except (OSError, EOFError) as error:
            return f"the client saw {error!r}"

    with ThreadPoolExecutor(len(TOGETHER)) as threads:
        found = list(threads.map(happened, TOGETHER))
    found += map(happened, ALONE)
    return {promise.title: what for promise, what in zip(PROMISES, found, strict=True)}
