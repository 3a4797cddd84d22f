"""The settings that suit what was seen, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil, floor

from .conclusions import (
    AT_ONCE,
    Limit,
    expected,
    idle_limit,
    interval,
    longest_life,
    pings_are_missing,
    statistics,
)
from .facts import Facts
from .hops import DOCS, PROXY, QUIET, SERVER, default, products
from .options import STEP
from .wording import seconds

DEFAULT = 20.0
"""The default of `ping_interval` and of `ping_timeout`, in seconds."""

NEAR = 0.02
"""The retransmission timeout of RFC 6298, in seconds, below which a path is a local one."""

SHORTEST_INTERVAL = 0.1
NEAR_TIMEOUT = 5.0
LONGEST_TIMEOUT = 60.0


@dataclass(frozen=True)
class Recommendation:
    """What to set.

    Attributes:
        ping_interval: In seconds.
        ping_timeout: In seconds.
        reasons: Why.
        changes: What to change elsewhere.
    """

    ping_interval: float
    ping_timeout: float
    reasons: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


def recommend(facts: Facts) -> Recommendation | None:
    """Return the settings that suit; `None` if there was no connection."""
    if not facts.handshake.done:
        return None
    limit = idle_limit(facts)
    ping_interval, why_interval = _interval(facts, limit)
    ping_timeout, why_timeout = _timeout(facts, limit)
    return Recommendation(
        ping_interval,
        ping_timeout,
        [f"ping_interval: {why_interval}", f"ping_timeout: {why_timeout}"],
        list(_changes(facts, limit)),
    )


def advice(facts: Facts) -> str | None:
    """Return what to look at if an upgrade was answered by HTTP, and there is no connection."""
    status = facts.handshake.status
    if facts.handshake.error is None or status is None:
        return None
    if status in (401, 403):
        return "The server refuses this client: does it want a Cookie or an Origin (--header)?"
    if 300 <= status < 400:
        return "The server sends clients elsewhere: probe where Location leads, as ws:// or wss://."
    proxies = f"Do all proxies pass upgrades on? {DOCS}deployment.html#reverse-proxies"
    return f"Is the path right? {proxies}" if status == 404 else proxies


def nice(value: float) -> float:
    """Return a number that is not larger, and easier to read."""
    for step in 5.0, 1.0, 0.1:
        if value >= 3 * step:
            return round(floor(value / step + 0.05) * step, 3)
    return round(value, 3)


def _interval(facts: Facts, limit: Limit | None) -> tuple[float, str]:
    if limit is not None and limit.at_most is not None:
        lowest = max(limit.at_least, limit.at_most / STEP)
        return max(SHORTEST_INTERVAL, min(DEFAULT, nice(lowest / 2))), (
            f"at most half of the silence that is survived, {seconds(lowest)}, so that one lost"
            " packet does not cost the connection"
        )
    pings = interval(facts.watch)
    if pings is not None and SHORTEST_INTERVAL <= pings <= DEFAULT:
        return nice(pings), "what the server has now; nothing cut a connection on which it pinged"
    survived = limit.at_least if limit is not None else 0.0
    seen = f" no silence of up to {seconds(survived)} was cut, and" if survived > AT_ONCE else ""
    return DEFAULT, (
        f"the default;{seen} it suits all limits that are listed at {DOCS}timeouts.html#idle-limits"
    )


def _timeout(facts: Facts, limit: Limit | None) -> tuple[float, str]:
    seen = statistics(facts.round_trips)
    if seen.srtt is None or seen.rttvar is None:
        timeout, why = DEFAULT, "the default, as no round trip was measured"
    else:
        rto = seen.srtt + 4 * seen.rttvar
        if rto < NEAR:
            timeout, why = (
                NEAR_TIMEOUT,
                f"enough for a path as short as this; others need {DEFAULT:g}",
            )
        else:
            timeout = min(LONGEST_TIMEOUT, max(DEFAULT, ceil(20 * rto)))
            why = "long enough for TCP to send again after a loss"
        why += f" (SRTT + 4 RTTVAR is {seconds(rto)})"
    if limit is not None and limit.at_most is not None and timeout > limit.at_least > 0:
        timeout = nice(limit.at_least * 0.9)
        why = "below the idle limit: while a Pong is late no other Ping is sent"
    return timeout, why


def _changes(facts: Facts, limit: Limit | None) -> Iterator[str]:
    if pings_are_missing(facts):
        yield "Let the server ping: KeepaliveMiddleware does, with these settings."
    elif limit is not None and limit.at_most and (expected(facts.watch) or 0) > limit.at_most / 2:
        yield "Let the server ping more often, with these settings."
    if (life := longest_life(facts)) is not None and life > AT_ONCE:
        yield (
            "Raise the limit of the connection's life, and let clients reconnect:"
            f" {DOCS}timeouts.html#limits-that-no-ping-can-help"
        )
        yield from _messages(facts)
    if limit is None or limit.at_most is None or limit.guess is None:
        return
    if limit.guess.hop == SERVER:
        yield "The server itself ends silent connections: look at its own settings."
    elif limit.guess.hop == PROXY:
        yield from _proxies(facts, _how_long(limit))
    if limit.exact and (whose := default(limit.at_least)):
        yield f"{seconds(limit.at_least)} is the default of {whose}."


def _messages(facts: Facts) -> Iterator[str]:
    """Say that an application may count messages only."""
    if facts.busy is not None and facts.busy.ending is not None and facts.busy.ending.close_code:
        yield (
            "A Close frame came, so the application may have waited for a message, which no Ping"
            " is: probe again with --send."
        )


def _how_long(limit: Limit) -> str:
    if limit.exact:
        return f"about {seconds(limit.at_least)}"
    return f"between {seconds(limit.at_least)} and {seconds(limit.at_most or 0)}"


def _proxies(facts: Facts, limit: str) -> Iterator[str]:
    for product in (named := products(facts.handshake.headers)):
        setting = product.setting or "the limit, for which there is no setting,"
        yield (
            f"{product.name}: {setting} is {limit}; with Pings it need not be"
            f" raised. {DOCS}{product.page}"
        )
    if not named:
        yield (
            f"A proxy that does not name itself, perhaps {QUIET}: its limit is {limit};"
            f" with Pings it need not be raised. {DOCS}deployment.html#reverse-proxies"
        )
