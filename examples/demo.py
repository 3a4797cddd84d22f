"""Who notices a dead client? `python examples/demo.py` shows it in ten seconds.

Two uvicorns serve one application, one with `KeepaliveMiddleware`, the other without it, with
uvicorn's own keepalive set to the same times. Each has four clients, two of which die.

What is printed is what happened: the servers' logs say what the handlers were told, the kernel (on
Linux) what it holds for the frozen client. The exit status is 0 if the first server noticed and
let go of both dead clients in time, and kept the other two.

`--svg FILE` also draws what is printed; it needs `rich`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from demo_parts import INTERVAL, TIMEOUT, Failure, story
from demo_parts.screen import WIDTH, RichScreen, Screen, has_rich, suitable
from demo_parts.side import Side
from demo_parts.stage import Stage

LIMIT = 18.0  # how long everything may take, in seconds
OWN = "--ws-ping-interval", f"{INTERVAL}", "--ws-ping-timeout", f"{TIMEOUT}"


async def play(out: Screen) -> None:
    """Run both servers and compare them; a `Failure` if the first breaks a promise."""
    stage = Stage(out, servers=2)
    first, second = Side("middleware", stage), Side("uvicorn", stage)
    try:
        async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
            tasks.create_task(first.run("demo_parts.app:app"))
            tasks.create_task(second.run("--factory", "demo_parts.app:without_middleware", *OWN))
    except TimeoutError:
        raise Failure(f"not finished within {LIMIT:g} s") from None
    story.conclude(out, first, second)
    if failures := list(story.failures(first)):
        raise Failure("; ".join(failures))


def run(out: Screen) -> int:
    """Return the exit status; the last line printed says why."""
    # As Ctrl-C does, for the servers to be stopped; asyncio.run then cancels `play`.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    story.introduce(out)
    try:
        asyncio.run(play(out))
    except KeyboardInterrupt:
        out.text("FAILED: interrupted", "bold red")
    except Exception as error:
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        out.text(f"FAILED: {str(cause) or repr(cause)}", "bold red")
    else:
        out.text(
            "OK: the middleware noticed both dead clients in time, and kept both others.",
            "bold green",
        )
        return 0
    return 1


def main() -> int:
    """Read the command line, play, and draw if asked to."""
    parser = argparse.ArgumentParser(description="Who notices a dead client?")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw what is printed")
    file = parser.parse_args().svg
    if file is None:
        return run(suitable())
    if not has_rich():
        parser.error("--svg needs rich")
    drawn = RichScreen(WIDTH)
    status = run(drawn)
    drawn.draw(file, "python examples/demo.py")
    return status


if __name__ == "__main__":
    sys.exit(main())
