"""The examples do what they promise, each started as its reader would start it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
"""Seconds until a test gives up waiting."""


@contextlib.contextmanager
def chat_server() -> Iterator[str]:
    """Run the chat as its docstring says; give its address, without the scheme."""
    command = [sys.executable, "-m", "uvicorn", "examples.fastapi_app:app", "--port", "0"]
    seconds = {"PING_INTERVAL": "0.5", "PING_TIMEOUT": "2", "CLOSE_TIMEOUT": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **seconds}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if running := re.search(r"running on http://(\S+)", line):
                    yield running[1]
                    break
            else:
                pytest.fail("the server did not start")
        finally:
            process.terminate()
            log = process.stderr.read()
    assert "Traceback" not in log, log


@pytest.fixture
def chat() -> Iterator[str]:
    with chat_server() as address:
        yield address


def join(address: str, name: str) -> connect:
    return connect(f"ws://{address}/ws?name={name}", ping_interval=None)


async def read(client: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Read events until the wanted one has come."""
    async for message in client:
        if wanted(json.loads(message)):
            return


async def read_line(client: ClientConnection, line: str) -> None:
    await read(client, lambda event: event.get("line") == line)


async def read_roster(client: ClientConnection, names: list[str]) -> None:
    """Wait for a roster of these names, each with a latency."""

    def complete(event: dict[str, Any]) -> bool:
        roster = event.get("roster", [])
        measured = all(isinstance(entry["latency"], float) for entry in roster)
        return [entry["name"] for entry in roster] == names and measured

    await read(client, complete)


@pytest.mark.timeout(2 * PATIENCE)
def test_everybody_sees_the_latencies_the_messages_and_who_leaves(chat: str) -> None:
    async def play() -> None:
        async with asyncio.timeout(PATIENCE), join(chat, "alice") as alice:
            await read_line(alice, "* alice joined")
            async with join(chat, "bob") as bob:
                await read_line(alice, "* bob joined")
                await read_roster(alice, ["alice", "bob"])
                await read_roster(bob, ["alice", "bob"])
                await bob.send("<i>hello</i>")
                await read_line(alice, "bob: <i>hello</i>")
                await read_line(bob, "bob: <i>hello</i>")
            await read_line(alice, "* bob left (1000)")
            await read_roster(alice, ["alice"])

    asyncio.run(play())


@pytest.mark.timeout(2 * PATIENCE)
def test_a_silent_participant_times_out(chat: str) -> None:
    async def play() -> None:
        async with asyncio.timeout(PATIENCE), join(chat, "alice") as alice:
            silent = await join(chat, "silent")
            await read_roster(alice, ["alice", "silent"])
            silent.transport.pause_reading()
            await read_line(alice, "* silent timed out (1011)")
            await read_roster(alice, ["alice"])
            silent.transport.abort()

    asyncio.run(play())


@pytest.mark.timeout(2 * PATIENCE)
def test_a_frozen_participant_holds_nobody_up(chat: str) -> None:
    async def play() -> None:
        async with asyncio.timeout(PATIENCE), join(chat, "alice") as alice:
            frozen = await connect(f"ws://{chat}/ws?name=frozen", compression=None)
            await read_roster(alice, ["alice", "frozen"])
            frozen.transport.pause_reading()
            for number in range(40):  # 20 MB, far more than the kernel takes for frozen
                text = f"{number}".ljust(500_000)
                await alice.send(text)
                await read_line(alice, f"alice: {text}")
            await read(alice, lambda event: event.get("line", "").startswith("* frozen timed out"))
            frozen.transport.abort()

    asyncio.run(play())


def test_the_page_needs_nothing_from_elsewhere(chat: str) -> None:
    with urllib.request.urlopen(f"http://{chat}/", timeout=PATIENCE) as response:
        page = response.read().decode()
    assert "<title>Chat</title>" in page
    assert "//" not in page
    assert "innerHTML" not in page


@pytest.mark.timeout(2 * PATIENCE)
def test_the_demo_shows_what_it_promises() -> None:
    demo = subprocess.run(
        [sys.executable, "examples/demo.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    output = demo.stdout
    assert (demo.returncode, demo.stderr) == (0, ""), output
    for pattern in (
        r"middleware  lively  Ping [0-9a-f]{8}",
        r"middleware  lively  has a latency of \d+\.\d\d ms",
        r"middleware  silent  the application is told: timed out \(1011\)",
        r"middleware  frozen  the application is told: timed out \(1006\)",
        r"middleware  lively  can still chat",
        r"uvicorn     silent  the application is told: ",
        r"silent: application told  timed out \(1011\) after \d\.\d\d s",
        r"frozen: application told  timed out \(1006\) after \d\.\d\d s",
    ):
        assert re.search(pattern, output), output
    if sys.platform == "linux":
        assert re.search(r"middleware  frozen  the kernel holds [\d,]+ KiB for it", output), output
        assert "middleware  frozen  the kernel holds nothing for it any more" in output, output
    assert output.splitlines()[-1].startswith("OK: "), output
