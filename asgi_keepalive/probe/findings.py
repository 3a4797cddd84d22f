"""What is wrong at an endpoint or on the way to it, as far as the facts show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .conclusions import AT_ONCE, Limit, expected, idle_limit, longest_life, pings_are_missing
from .facts import Facts, Watch
from .wording import ended, seconds


@dataclass(frozen=True)
class Finding:
    """Something that needs a change.

    Attributes:
        name: Says for a program what it is.
        text: Says it for a person.
    """

    name: str
    text: str


def findings(facts: Facts) -> list[Finding]:
    """Return what was found; an empty list means that nothing was."""
    if facts.handshake.error is not None:
        return [Finding("unreachable", f"No connection: {facts.handshake.error}.")]
    return [*_keepalive(facts), *_path(facts), *_refused(facts)]


def _keepalive(facts: Facts) -> Iterator[Finding]:
    if facts.lost:
        yield Finding("no-pong", "A Ping of the client was not answered.")
    if facts.watch is not None:
        yield from _watch(facts, facts.watch)
    silent, wrong, unread = facts.silent, facts.wrong, facts.unread
    if silent is not None and silent.ping_after is not None and silent.ending is None:
        waited = seconds(silent.waited - silent.ping_after)
        yield Finding(
            "no-timeout",
            f"A client that answers no Ping was still connected {waited} after the first.",
        )
    if wrong is not None and wrong.ping_after is not None and wrong.ending is None:
        yield Finding("wrong-pong", "A Pong with another payload satisfies the server.")
    if unread is not None and unread.ending is None:
        yield Finding(
            "unread",
            f"A client that reads nothing was kept for {seconds(unread.waited)} or longer.",
        )


def _watch(facts: Facts, watch: Watch) -> Iterator[Finding]:
    limit = idle_limit(facts)
    if watch.ending is not None:
        after = seconds(watch.ending.after)
        yield Finding(
            "ended", f"A client that behaved well was ended after {after}: {ended(watch.ending)}."
        )
    elif watch.earlier is not None and (limit is None or limit.at_most is None):
        after = seconds(watch.earlier.after)
        yield Finding("ended", f"A silent client was ended after {after}: {ended(watch.earlier)}.")
    if pings_are_missing(facts):
        yield Finding(
            "no-ping",
            f"The server sends no Pings, or none within {seconds(watch.seconds)}: it cannot notice"
            " a client that has vanished.",
        )


def _path(facts: Facts) -> Iterator[Finding]:
    if (life := longest_life(facts)) is not None and life > AT_ONCE:
        yield Finding(
            "longest-life",
            f"A connection that sent Pings all the time was ended after {seconds(life)}.",
        )
    limit = idle_limit(facts)
    if limit is not None and limit.at_most is not None:
        yield Finding("idle-limit", cut(limit) + _pings_against(facts, limit.at_most))


def cut(limit: Limit) -> str:
    """Say which silence ends a connection."""
    what = "in which the client sends nothing" if limit.only_own else "of silence"
    if limit.exact:
        return f"A connection is cut after {seconds(limit.at_least)} {what}"
    return (
        f"A connection is lost after between {seconds(limit.at_least)} and"
        f" {seconds(limit.at_most or 0)} {what}"
    )


def _pings_against(facts: Facts, limit: float) -> str:
    pings = expected(facts.watch)
    if pings is None:
        return ", and no Ping keeps it in use."
    return f", and the server pings only every {seconds(pings)}." if pings > limit / 2 else "."


def _refused(facts: Facts) -> Iterator[Finding]:
    for part, reason in facts.refused.items():
        if part != "heartbeats":
            yield Finding("refused", f"A later connection ({part}) was not made: {reason}.")
