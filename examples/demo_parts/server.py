"""A uvicorn that runs as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from . import CLOSE_TIMEOUT, INTERVAL, TIMEOUT, Failure

PARTS = Path(__file__).parent
LOG_LINE = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (\S+) (.*)")
ENVIRONMENT = {
    "PING_INTERVAL": str(INTERVAL),
    "PING_TIMEOUT": str(TIMEOUT),
    "CLOSE_TIMEOUT": str(CLOSE_TIMEOUT),
}


@contextlib.asynccontextmanager
async def serving(logged: Callable[[str, str, str], None], *arguments: str) -> AsyncIterator[int]:
    """Run a uvicorn, and yield its port.

    Args:
        logged: It is called with the level, the logger and the message of each line of the log.
        arguments: What uvicorn's command line has besides.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "--app-dir", str(PARTS.parent), "--port", "0"),
        *("--log-config", str(PARTS / "log.json"), *arguments),
        env={**os.environ, **ENVIRONMENT},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    )
    assert process.stdout is not None
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read_log(process.stdout, port, logged))
            yield await port
            reading.cancel()
    finally:
        # Not terminate: the frozen client would keep the server without middleware running.
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def read_log(
    output: asyncio.StreamReader,
    port: asyncio.Future[int],
    logged: Callable[[str, str, str], None],
) -> None:
    """Read the log until the server ends, which it should not."""
    line = "it logged nothing"
    async for raw in output:
        line = raw.decode(errors="replace").rstrip()
        match = LOG_LINE.fullmatch(line)
        level, logger, message = match.groups() if match else ("ERROR", "", line)
        if message.startswith("Uvicorn running on"):
            port.set_result(int(message.partition(" (")[0].rpartition(":")[2]))
        logged(level, logger, message)
    raise Failure(f"a server has ended: {line}")
