"""The application that a crowd of clients uses, and what it tells about its process.

A message from a client is an order, or else it comes back. Over HTTP the application tells how
its connections ended, and counts what is alive.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from asgi_keepalive import KeepaliveMiddleware, get_keepalive

PING_INTERVAL = 2.0
PING_TIMEOUT = 3.0
CLOSE_TIMEOUT = 2.0
GIVES_UP_AFTER = 1.0
"""How long the application sends, in seconds, if it is ordered to give up."""

LOOK = 0.05
"""Seconds from one look at the clock to the next."""

CHUNK = bytes(65536)

ends: list[dict[str, Any]] = []
"""Of each connection since this was last asked for: which client, when and what it was told."""

Stalls = list[tuple[float, float]]
"""When an event loop stood still, and for how long."""

stalls: Stalls = []
"""Those of the server since then."""


async def serve(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await converse(scope, receive, send)
    elif scope["type"] == "http":
        tell = {"/report": take_report, "/alive": count_alive}[scope["path"]]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(tell()).encode()})
    else:
        await receive()
        watch = asyncio.create_task(note_stalls(stalls))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watch.cancel()
        await send({"type": "lifespan.shutdown.complete"})


app = KeepaliveMiddleware(
    serve,
    ping_interval=PING_INTERVAL,
    ping_timeout=PING_TIMEOUT,
    close_timeout=CLOSE_TIMEOUT,
)


async def converse(scope: Any, receive: Any, send: Any) -> None:
    """Follow a client's orders to the end, and note it."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    try:
        code = await follow_orders(receive, send)
        at = time.monotonic()
    except OSError:
        at = time.monotonic()
        while (event := await receive())["type"] != "websocket.disconnect":
            pass
        code = event["code"]
    keepalive = get_keepalive(scope)
    ends.append(
        {
            "client": int(scope["query_string"]),
            "at": at,
            "code": code,
            "timed_out": keepalive.timed_out,
            "latency": keepalive.latency,
        }
    )


async def follow_orders(receive: Any, send: Any) -> int | None:
    """Return the code of the disconnect, `None` if the application was the one to leave."""
    while (event := await receive())["type"] == "websocket.receive":
        order, _, value = event["text"].partition(" ")
        if order == "be-busy":
            await asyncio.sleep(float(value))
        elif order == "stream":
            await stream(send, int(value))
            await send({"type": "websocket.send", "text": "streamed"})
        elif order == "give-up":
            with suppress(TimeoutError):
                async with asyncio.timeout(GIVES_UP_AFTER):
                    await stream(send, 1_000_000)
            if value == "return":
                return None
            await send({"type": "websocket.close"})
        elif order == "close":
            await send({"type": "websocket.close", "code": int(value)})
        else:
            await send({**event, "type": "websocket.send"})
    code: int = event["code"]
    return code


async def stream(send: Any, chunks: int) -> None:
    await send({"type": "websocket.send", "text": "streaming"})
    for _ in range(chunks):
        await send({"type": "websocket.send", "bytes": CHUNK})
        await asyncio.sleep(0)  # for a client that keeps up, send never waits


async def note_stalls(stalls: Stalls) -> None:
    """Note when the event loop stands still."""
    while True:
        due = time.monotonic() + LOOK
        await asyncio.sleep(LOOK)
        late = time.monotonic() - due
        if late > LOOK:
            stalls.append((due, late))


def take_report() -> dict[str, Any]:
    report = {"ends": ends.copy(), "stalls": stalls.copy()}
    ends.clear()
    stalls.clear()
    return report


def count_alive() -> dict[str, Any]:
    """Count tasks, timers that may yet fire, and objects by type; give free memory back before."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    objects = gc.get_objects()
    timers = [one for one in objects if type(one).__name__ == "TimerHandle"]  # of either loop
    return {
        "tasks": len(asyncio.all_tasks()),
        "timers": sum(not timer.cancelled() for timer in timers),
        "objects": Counter(f"{type(one).__module__}.{type(one).__name__}" for one in objects),
    }
