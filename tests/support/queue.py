"""A queue of what an application has not received, and what it holds."""

from __future__ import annotations

from typing import Any

from asgi_keepalive.endpoint.queue import MAX_BYTES, ReadAheadQueue

from .fake_loop import fake_loop

HALF = "x" * (MAX_BYTES // 2)

LAST = {"type": "websocket.disconnect", "code": 1011}
PEERS = {"type": "websocket.disconnect", "code": 1000}


class Reading:
    """Notes whether it has been told to pause."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def pause(self) -> None:
        self.told.append(True)

    def resume(self) -> None:
        self.told.append(False)


def queue(reading: Reading | None = None, max_messages: float = 32) -> ReadAheadQueue:
    events = ReadAheadQueue(fake_loop(), reading or Reading())
    events.max_messages = max_messages
    return events


def message(text: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": text}


def texts(count: int) -> list[dict[str, Any]]:
    return [message(str(number)) for number in range(count)]
