"""A probe's report in words, as sections of labelled lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .conclusions import (
    AT_ONCE,
    ended_anyway,
    gaps,
    histogram,
    idle_limit,
    interval,
    longest_life,
    percentile,
    statistics,
    timeout_seen,
)
from .facts import Facts, Rung, Trial, Watch
from .findings import cut, findings
from .payloads import classify
from .recommendation import advice, recommend
from .wording import ended, printable, seconds

WIDEST = 30
"""Characters of the longest bar of a histogram."""

Lines = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """A part of the report: a title, and lines of a label and a text."""

    title: str
    lines: list[tuple[str, str]]


def sections(facts: Facts) -> list[Section]:
    """Return the report; what is not known is left out."""
    parts = {
        "Handshake": _handshake(facts),
        "Keepalive of the server": _keepalive(facts),
        "Path": _path(facts),
        "Verdict": verdict(facts),
        "Recommendation": _recommendation(facts),
    }
    found = [
        Section(title, [(label, printable(text)) for label, text in lines])
        for title, lines in parts.items()
    ]
    return [section for section in found if section.lines]


def _handshake(facts: Facts) -> Lines:
    seen = facts.handshake
    if seen.address is not None:
        yield "address", seen.address
    steps = {"DNS": seen.dns, "TCP": seen.tcp, "TLS": seen.tls, "upgrade": seen.upgrade}
    if times := [f"{name} {seconds(took)}" for name, took in steps.items() if took is not None]:
        yield "times", ", ".join(times)
    if seen.http is not None:
        over = f" over {seen.tls_version}" if seen.tls_version else ""
        yield "response", f"{seen.http} {seen.status}{over}"
    if seen.done:
        yield "extensions", seen.extensions or "none"
        yield "subprotocol", seen.subprotocol or "none"
    for name, value in seen.headers:
        yield "it says", f"{name}: {value}"
    if facts.heartbeats is not None:
        every, timeout = map(_setting, (facts.heartbeats.interval, facts.heartbeats.timeout))
        yield "for pages", f"heartbeats; ping_interval is {every}, ping_timeout is {timeout}"
    elif seen.done:
        yield "for pages", facts.refused.get("heartbeats", "no heartbeats")


def _setting(value: float | None) -> str:
    return "None" if value is None else seconds(value)


def _keepalive(facts: Facts) -> Lines:
    if facts.watch is not None:
        yield from _watch(facts.watch)
    if facts.silent is not None:
        yield "answers nothing", _trial(facts, facts.silent)
        if facts.silent.ending is None:
            yield "wrong Pong", "not tried, as a missing one has no consequence"
    if facts.wrong is not None:
        yield "wrong Pong", _wrong(facts, facts.wrong)
    if facts.unread is not None:
        text = _trial(facts, facts.unread)
        yield "reads nothing", f"{text}; {facts.unread.unread} bytes were unread"


def _watch(watch: Watch) -> Lines:
    every, between = interval(watch), gaps(watch)
    if not watch.pings:
        yield "Pings", f"none within {seconds(watch.seconds)}"
    elif every is None:
        after = seconds(watch.pings[0].after)
        within = f"one within {seconds(watch.seconds)}, after {after}"
        yield "Pings", f"{within}; a longer --watch tells how often"
    else:
        spread = f"{seconds(min(between))} to {seconds(max(between))}"
        yield "Pings", f"every {seconds(every)} ({spread}, {len(watch.pings)} Pings)"
    if payloads := classify(watch.pings):
        could = "; a client could answer without reading" if payloads.predictable else ""
        yield "payloads", f"{payloads}{could}"
    if watch.between is not None and watch.earlier is not None:
        before = f"{ended(watch.earlier)}, after {seconds(watch.earlier.after)}"
        yield "own Pings", f"every {seconds(watch.between)}, since without them: {before}"
    if watch.messages:
        yield "messages", f"{watch.messages} within {seconds(watch.seconds)}"
    if watch.ending is not None:
        yield "ended", f"{ended(watch.ending)}, after {seconds(watch.ending.after)}"


def _wrong(facts: Facts, wrong: Trial) -> str:
    text = _trial(facts, wrong)
    if wrong.ping_after is None or (wrong.ending and ended_anyway(facts, wrong.ending)):
        return text
    does = "satisfies it" if wrong.ending is None else "does not satisfy it"
    return f"{does}: {text}"


def _trial(facts: Facts, trial: Trial) -> str:
    if trial.ending is None:
        no_ping = "no Ping came; " if trial.ping_after is None and trial.unread is None else ""
        return f"{no_ping}still connected after {seconds(trial.waited)}"
    text = f"{ended(trial.ending)}, after {seconds(trial.ending.after)}"
    if ended_anyway(facts, trial.ending):
        text += ", as a client that behaves well"
    elif trial.ping_after is not None:
        text += f", {seconds(trial.ending.after - trial.ping_after)} after the first Ping"
    return text


def _path(facts: Facts) -> Lines:
    if facts.round_trips:
        yield from _round_trips(facts.round_trips)
    for rung in facts.ladder:
        if rung.life:
            yield "silence", _rung(rung)
    yield from _limits(facts)


def _round_trips(trips: list[float]) -> Lines:
    seen = statistics(trips)
    shown = {
        "minimum": seen.minimum,
        "SRTT": seen.srtt,
        "RTTVAR": seen.rttvar,
        "95th percentile": percentile(trips, 0.95),
    }
    text = ", ".join(f"{name} {seconds(value or 0)}" for name, value in shown.items())
    yield "round trip", f"{text} of {len(trips)} Pings"
    bars = histogram(trips)
    most = max(count for _, _, count in bars)
    for low, high, count in bars:
        bar = "█" * -(-WIDEST * count // most)
        yield "", f"{seconds(low):>8} to {seconds(high):>8}  {bar} {count}"


def _rung(rung: Rung) -> str:
    text = f"up to {seconds(rung.goal)}: "
    if rung.ending is not None:
        text += f"{ended(rung.ending)}, after {seconds(rung.ending.after)}"
        text += ", in answer to a Ping" if rung.ending.asked else ""
    elif rung.answered is None:
        text += f"still connected after {seconds(rung.life)}"
    else:
        text += "the connection lived" if rung.answered else "a Ping was not answered any more"
    if rung.pings:
        pings = "a Ping" if rung.pings == 1 else f"{rung.pings} Pings"
        text += f"; {pings} answered, longest silence {seconds(rung.silence)}"
    return text


def _limits(facts: Facts) -> Lines:
    limit = idle_limit(facts)
    if limit is not None and limit.at_most is None and limit.at_least <= AT_ONCE:
        yield "idle limit", f"not seen: no silence was longer than {seconds(limit.at_least)}"
    elif limit is not None and limit.at_most is None:
        pinged = any(rung.pings for rung in facts.ladder)
        more = "; the server's Pings allow of no longer one" if pinged else ""
        yield "idle limit", f"none seen: {seconds(limit.at_least)} of silence were survived{more}"
    elif limit is not None and limit.guess is not None:
        yield "idle limit", f"{cut(limit)}; perhaps by {limit.guess.hop}: {limit.guess.why}"
    life = longest_life(facts)
    if life is not None:
        yield "longest life", seconds(life) if life > AT_ONCE else "none: it is ended at once"
    elif facts.busy is not None and facts.busy.life:
        yield "longest life", f"not seen: {seconds(facts.busy.life)} of use were survived"


def verdict(facts: Facts) -> Lines:
    """Yield what the facts come to; the label `finding` is that of a finding."""
    if facts.interrupted:
        yield "", "The probe was interrupted; this is what was known by then."
    pings, timeout = interval(facts.watch), timeout_seen(facts)
    if pings is not None:
        yield "", f"The server pings every {seconds(pings)}."
    if timeout is not None:
        yield "", f"It ends a connection {seconds(timeout)} after a Ping that is not answered."
    if pings is not None and timeout is not None:
        yield "", f"So a dead client is noticed within {seconds(pings + timeout)}."
    found = findings(facts)
    for finding in found:
        yield "finding", finding.text
    if not found:
        by_then = " by then" if facts.interrupted else ""
        yield "", f"Nothing was found{by_then} that needs a change."


def _recommendation(facts: Facts) -> Lines:
    recommended = recommend(facts)
    if recommended is None:
        if advised := advice(facts):
            yield "", advised
        return
    settings = f"{recommended.ping_interval:g}, ping_timeout={recommended.ping_timeout:g}"
    yield "", f"KeepaliveMiddleware(app, ping_interval={settings})"
    for reason in recommended.reasons:
        yield "", reason
    for change in recommended.changes:
        yield "change", change
