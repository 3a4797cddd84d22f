"""The examples do what they promise, each started as its reader would start it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest
from websockets.asyncio.client import ClientConnection, connect

from .support.process import ROOT, started

PATIENCE = 30.0
"""Seconds until a test gives up waiting."""

PYTHON = sys.executable, "-m"
UVICORN = *PYTHON, "uvicorn", "examples.fastapi_app:app", "--port", "PORT"
FASTAPI = *PYTHON, "fastapi", "run", "examples/fastapi_app.py", "--port", "PORT"


@contextlib.contextmanager
def serving_chat(command: tuple[str, ...]) -> Iterator[str]:
    """Run the chat; give its address, without the scheme."""
    settings = {"PING_INTERVAL": "0.5", "PING_TIMEOUT": "3", "CLOSE_TIMEOUT": "1"}
    with started(*command, **settings) as server:
        yield f"127.0.0.1:{server.port}"
    assert "Traceback" not in server.output, server.output


@pytest.fixture
def chat() -> Iterator[str]:
    with serving_chat(UVICORN) as address:
        yield address


def join(address: str, name: str) -> connect:
    return connect(f"ws://{address}/ws?name={name}", ping_interval=None, compression=None)


@contextlib.asynccontextmanager
async def joined(address: str, name: str) -> AsyncIterator[ClientConnection]:
    """Join for somebody who will not be able to leave with a closing handshake."""
    client = await join(address, name)
    try:
        yield client
    finally:
        client.transport.abort()
        await client.wait_closed()


async def read_line(client: ClientConnection) -> str:
    """Return the next line of the chat."""
    while True:
        event = json.loads(await client.recv())
        if "line" in event:
            return str(event["line"])


async def read_roster(client: ClientConnection, names: list[str]) -> None:
    """Wait for a roster of these names, each with a latency."""
    while True:
        roster = json.loads(await client.recv()).get("roster", [])
        measured = all(isinstance(entry["latency"], float) for entry in roster)
        if [entry["name"] for entry in roster] == names and measured:
            return


def test_everybody_sees_the_latencies_the_messages_and_who_leaves(chat: str) -> None:
    async def play() -> None:
        async with asyncio.timeout(PATIENCE), join(chat, "alice") as alice:
            assert await read_line(alice) == "* alice joined"
            async with join(chat, "bob") as bob:
                assert await read_line(alice) == "* bob joined"
                assert await read_line(bob) == "* bob joined"
                await read_roster(alice, ["alice", "bob"])
                await read_roster(bob, ["alice", "bob"])
                await bob.send("<i>hello</i>")
                assert await read_line(alice) == "bob: <i>hello</i>"
                assert await read_line(bob) == "bob: <i>hello</i>"
            assert await read_line(alice) == "* bob left (1000)"
            await read_roster(alice, ["alice"])

    asyncio.run(play())


def test_a_silent_participant_times_out(chat: str) -> None:
    async def play() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            join(chat, "alice") as alice,
            joined(chat, "silent") as silent,
        ):
            await read_roster(alice, ["alice", "silent"])
            silent.transport.pause_reading()
            assert await read_line(alice) == "* silent timed out (1011)"
            await read_roster(alice, ["alice"])

    asyncio.run(play())


def test_a_frozen_participant_holds_nobody_up(chat: str) -> None:
    async def play() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            join(chat, "alice") as alice,
            joined(chat, "frozen") as frozen,
        ):
            await read_roster(alice, ["alice", "frozen"])
            frozen.transport.pause_reading()
            for number in range(16):  # 8 MB: more than the kernel takes for somebody frozen
                text = f"{number}".ljust(500_000)
                await alice.send(text)
                assert await read_line(alice) == f"alice: {text}"
            assert (await read_line(alice)).startswith("* frozen timed out")

    asyncio.run(play())


@pytest.mark.parametrize("command", [UVICORN, FASTAPI], ids=["uvicorn", "fastapi"])
def test_the_page_needs_nothing_from_elsewhere(command: tuple[str, ...]) -> None:
    with (
        serving_chat(command) as address,
        urllib.request.urlopen(f"http://{address}/", timeout=PATIENCE) as response,
    ):
        page = response.read().decode()
    assert "<title>Chat</title>" in page
    assert "//" not in page
    assert "innerHTML" not in page


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
    introduction, _, play = output.partition(" 0.00  both  ")
    for client in "lively", "silent", "frozen", "busy":
        assert f"  {client}  " in introduction, output
    for pattern in (
        r"middleware  lively  has a latency of \d+\.\d\d ms",
        r"middleware  silent  the handler is told: timed out \(1011\)",
        r"middleware  frozen  the handler is told: timed out \(1011\)",
        r"middleware  busy    has its first answer",
        r"middleware  lively  can still chat",
        r"uvicorn     silent  the handler is told: left \(1005\)",
        r"uvicorn     busy    is closed with 1011",
        r"handler of silent told   timed out \(1011\) at \d\.\d\d s  left \(1005\)",
        r"handler of frozen told   timed out \(1011\) at \d\.\d\d s  nothing in 6 s",
        r"busy +kept, answered at \d\.\d\d s +closed \(1011\)",
        r"handler of lively told   left \(1005\) +left \(1005\)",
        r"silent      uvicorn told its handler 1005\.",
        r"busy        uvicorn closed it \(1011 ",
    ):
        assert re.search(pattern, play), output
    if sys.platform == "linux":
        assert re.search(r"middleware  frozen  the kernel held [\d.]+ [kM]B for it", play), output
        assert "middleware  frozen  the kernel holds nothing for it any more" in play, output
        assert re.search(r"frozen      On uvicorn its handler still waited", play), output
    assert play.splitlines()[-1].startswith("OK: "), output
