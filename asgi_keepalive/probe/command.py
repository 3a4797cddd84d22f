"""The subcommand `probe`: its arguments, and its run."""

from __future__ import annotations

import argparse
import asyncio
import ssl
from collections.abc import Callable
from math import isfinite
from typing import Any

from ..output import output
from .facts import Facts
from .findings import findings
from .options import Options
from .running import Probe
from .structured import structured
from .target import (
    Target,
    parse_header,
    parse_message,
    parse_subprotocol,
    parse_url,
    tls_context,
)
from .telling import sections

MOST_RUNGS = 50
"""So many connections may be open at once."""

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand to its parser."""
    default = Options()
    add = parser.add_argument
    add("url", type=_checked(parse_url), help="the endpoint: ws://host/path or wss://host/path")
    add(
        *("--header", "-H"),
        action="append",
        default=[],
        type=_checked(parse_header),
        metavar="'Name: value'",
        help="a header of the request; may be repeated",
    )
    add(
        "--subprotocol",
        action="append",
        default=[],
        type=_checked(parse_subprotocol),
        metavar="NAME",
        help="a subprotocol to offer; may be repeated",
    )
    add(
        "--send",
        type=_checked(parse_message),
        metavar="TEXT",
        help="a text message to send on each connection at first",
    )
    add(
        "--ca",
        type=_checked(tls_context),
        metavar="FILE",
        help="certificates to trust instead of the system's (PEM)",
    )
    add("--insecure", action="store_true", help="trust any certificate")
    add("--json", action="store_true", help="print the report as JSON")
    bounds = parser.add_argument_group("bounds, in seconds unless they count")
    for name, kind, value, text in (
        ("timeout", _positive, Target.timeout, "until a connection is open, and until a Pong"),
        ("watch", _positive, default.watch, "to wait for Pings of the server"),
        ("patience", _positive, default.patience, "to wait for the end of a bad client"),
        ("idle-limit", _not_negative, default.idle_limit, "of silence at most; 0 for no ladder"),
        ("rungs", _rungs, default.rungs, "connections of the ladder, which are open at once"),
        ("pings", _count, default.pings, "Pings that measure the round trip"),
        ("parallel", _count, default.parallel, "other connections at once; from 2 on also beside"
         " the ladder"),
    ):  # fmt: skip
        bounds.add_argument(
            f"--{name}", type=kind, default=value, metavar="N", help=f"{text} (%(default)g)"
        )


def run(arguments: argparse.Namespace) -> int:
    """Probe an endpoint, print what is seen, and return the exit status."""
    target = _target(arguments)
    facts = Facts(url=_url(target))
    options = Options(
        arguments.pings,
        arguments.watch,
        arguments.patience,
        arguments.idle_limit,
        arguments.rungs,
        arguments.parallel,
    )
    shown = output(__package__, for_program=arguments.json)
    try:
        with shown.progress() as tell:
            asyncio.run(Probe(target, options, facts, tell).run())
    except KeyboardInterrupt:
        facts.interrupted = True
    if arguments.json:
        print(structured(facts))
    else:
        shown.show(facts.url, sections(facts))
    return INTERRUPTED if facts.interrupted else int(bool(findings(facts)))


def _target(arguments: argparse.Namespace) -> Target:
    tls = (arguments.ca or tls_context(None)) if arguments.url.secure else None
    if tls is not None and arguments.insecure:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return Target(
        arguments.url,
        tuple(arguments.header),
        tuple(arguments.subprotocol),
        tls,
        arguments.send,
        arguments.timeout,
    )


def _url(target: Target) -> str:
    """Return the URL without a password."""
    uri = target.uri
    host = f"[{uri.host}]" if ":" in uri.host else uri.host
    return f"{'wss' if uri.secure else 'ws'}://{host}:{uri.port}{uri.resource_name}"


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a type for argparse whose error says what is wrong."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def _number(text: str, lowest: float) -> float:
    value = float(text)
    if not (isfinite(value) and value >= lowest):
        raise ValueError(f"{text} is too small, or not finite")
    return value


@_checked
def _positive(text: str) -> float:
    """Return a time in seconds of at least a hundredth."""
    return _number(text, 0.01)


@_checked
def _not_negative(text: str) -> float:
    """Return a time in seconds, or 0."""
    return _number(text, 0.0)


@_checked
def _rungs(text: str) -> int:
    """Return how many connections there may be in a ladder."""
    if not 1 <= int(text) <= MOST_RUNGS:
        raise ValueError(f"{text} is not from 1 to {MOST_RUNGS}")
    return int(text)


@_checked
def _count(text: str) -> int:
    """Return how many, at least 1."""
    return int(_number(str(int(text)), 1))
