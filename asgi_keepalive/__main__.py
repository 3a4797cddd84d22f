"""The command line: `python -m asgi_keepalive`, or `asgi-keepalive`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "probe": "find out what a path does to WebSocket connections",
    "conformance": "check a server's implementation of the websocket.ping extension",
}
"""The subcommands, each a package of that name with a module `command`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: The arguments; `None` for those of the process.

    Returns:
        The exit status: 0 if nothing was found, 1 for a finding.

    Raises:
        SystemExit: The arguments are wrong (status 2), or help was asked for.
    """
    parser = argparse.ArgumentParser(
        prog="asgi-keepalive", description="Tools for WebSocket keepalive."
    )
    subparsers = parser.add_subparsers(metavar="command", required=True)
    for name, purpose in COMMANDS.items():
        command = import_module(f"{__package__}.{name}.command")
        subparser = subparsers.add_parser(name, help=purpose, description=purpose)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
