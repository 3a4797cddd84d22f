"""The command `asgi-keepalive conformance`."""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from ..output import output, write
from . import report
from .outcomes import FAIL
from .page import LEVELS
from .remote import Control
from .running import Result, run_checks
from .target import CannotRun, certificate, ended_by_signals, filled, started, trusting
from .trial import Run

APPLICATION = "asgi_keepalive.conformance.application"
INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""

TLS = "--ssl-certfile {cert} --ssl-keyfile {key}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add = parser.add_argument
    add(
        "command",
        help="the server's command; {app} and {port} in it are replaced, {loop} and {tls} if they "
        "are there",
    )
    add("--loops", default="", metavar="NAMES", help="for {loop}, as in asyncio,uvloop")
    add("--tls", default=TLS, metavar="OPTIONS", help="for {tls} (default: %(default)s)")
    add("--cert", metavar="FILE", help="for {cert}; without it openssl makes one")
    add("--key", metavar="FILE", help="for {key}")
    add(
        "--level", type=int, choices=LEVELS, default=max(LEVELS), help="the highest that is checked"
    )
    add(
        "--keepalive",
        type=float,
        metavar="SECONDS",
        help="after how long the server's own keepalive, as the command sets it, sends a Ping",
    )
    add(
        "--adapter",
        action="store_true",
        help="check what asgi-keepalive's adapter adds to a server that declares nothing",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print a table for a pull request")


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        0, 1 for a failure, 2 if it cannot be run, or 130 after Ctrl-C, SIGTERM or SIGHUP.
    """
    for_program = arguments.json or arguments.markdown
    shown = output(__package__, for_program=for_program)
    try:
        with ended_by_signals():
            results = dict(_results(arguments, shown))
    except CannotRun as exc:
        print(f"asgi-keepalive conformance: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("asgi-keepalive conformance: interrupted", file=sys.stderr)
        return INTERRUPTED
    if arguments.json:
        write(report.as_json(arguments.command, results))
    elif arguments.markdown:
        write("\n".join(report.as_markdown(arguments.command, results)))
    else:
        shown.conclude(results)
    return int(any(result.count(FAIL) for result in results.values()))


def _results(arguments: argparse.Namespace, shown: Any) -> Iterator[tuple[str, Result]]:
    for place in "{app}", "{port}":
        if place not in arguments.command:
            raise CannotRun(f"the command must contain {place}")
    secures = [False, True] if "{tls}" in arguments.command else [False]
    for loop, secure in itertools.product(_loops(arguments), secures):
        name = f"{loop} {'TLS' if secure else 'TCP'}".strip()
        with shown.progress() as tell:
            tell(f"checking {name}")
            result = _result(arguments, loop, secure)
        if not arguments.json and not arguments.markdown:
            shown.show(name, result)
        yield name, result


def _loops(arguments: argparse.Namespace) -> list[str]:
    if "{loop}" not in arguments.command:
        return [""]
    if arguments.loops:
        return [loop.strip() for loop in arguments.loops.split(",")]
    return ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]


def _result(arguments: argparse.Namespace, loop: str, secure: bool) -> Result:
    app = f"{APPLICATION}:{'adapted' if arguments.adapter else 'app'}"
    with ExitStack() as stack:
        tls = ""
        if secure:
            cert, key = arguments.cert, arguments.key
            if cert is None:
                cert, key = stack.enter_context(certificate())
            tls = filled(arguments.tls, cert=cert, key=key or cert)
        target = stack.enter_context(started(arguments.command, tls=tls, app=app, loop=loop))
        control = Control()
        stack.callback(control.stop)
        run = Run(target, control, trusting() if secure else None, arguments.keepalive)
        return run_checks(run, arguments.level)
