"""A probe's report for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from .conclusions import (
    histogram,
    idle_limit,
    interval,
    longest_life,
    percentile,
    statistics,
    timeout_seen,
)
from .facts import Facts
from .findings import findings
from .payloads import classify
from .recommendation import advice, recommend
from .telling import verdict


def structured(facts: Facts) -> str:
    """Return the report as JSON; docs/probe.md lists the keys."""
    return json.dumps(
        {
            "url": facts.url,
            "interrupted": facts.interrupted,
            "handshake": {**asdict(facts.handshake), "headers": facts.handshake.headers},
            "heartbeats": facts.heartbeats and asdict(facts.heartbeats),
            "keepalive": _keepalive(facts),
            "path": _path(facts),
            "refused": facts.refused,
            "verdict": [text for _, text in verdict(facts)],
            "findings": [asdict(finding) for finding in findings(facts)],
            "advice": advice(facts),
            "recommendation": (recommended := recommend(facts)) and asdict(recommended),
        },
        indent=2,
    )


def _keepalive(facts: Facts) -> dict[str, Any]:
    watch = facts.watch
    payloads = classify(watch.pings) if watch else None
    return {
        "interval": interval(watch),
        "timeout": timeout_seen(facts),
        "payloads": payloads and {**asdict(payloads), "predictable": payloads.predictable},
        "watched": watch
        and {
            "seconds": watch.seconds,
            "pings": [{"after": ping.after, "payload": ping.payload.hex()} for ping in watch.pings],
            "messages": watch.messages,
            "between": watch.between,
            "earlier": watch.earlier and asdict(watch.earlier),
            "ending": watch.ending and asdict(watch.ending),
        },
        "silent": facts.silent and asdict(facts.silent),
        "wrong_pong": facts.wrong and asdict(facts.wrong),
        "unread": facts.unread and asdict(facts.unread),
    }


def _path(facts: Facts) -> dict[str, Any]:
    trips = facts.round_trips
    seen = statistics(trips)
    limit = idle_limit(facts)
    return {
        "round_trips": trips,
        "lost": facts.lost,
        "minimum": seen.minimum,
        "srtt": seen.srtt,
        "rttvar": seen.rttvar,
        "p95": percentile(trips, 0.95) if trips else None,
        "histogram": histogram(trips) if trips else [],
        "idle_limit": limit and asdict(limit),
        "longest_life": longest_life(facts),
        "ladder": [asdict(rung) for rung in facts.ladder],
        "busy": facts.busy and asdict(facts.busy),
    }
