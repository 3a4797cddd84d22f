"""Level 3: reading ahead of the application."""

from __future__ import annotations

import time

from ..support.client import BINARY, PONG, TEXT, frame
from ..support.server import wait_until
from .conftest import Speak

MAX_UNREAD = 32
"""Messages: uvicorn's default of `ws_max_queue`, what daphne has, and these tests set elsewhere."""


def test_far_beyond_the_bound_reading_has_stopped_and_goes_on_after_half(taken: Speak) -> None:
    """The bound also holds within one read."""
    speaker = taken()
    before = time.monotonic()
    count = 4 * MAX_UNREAD
    numbered = b"".join(frame(TEXT, b"%d" % number) for number in range(count))
    speaker.client.socket.sendall(numbered + frame(PONG, b"behind"))
    wait_until(lambda: speaker.pauses)
    time.sleep(0.1)
    [(paused, at)] = speaker.pauses
    assert paused is True
    assert before <= at <= time.monotonic()
    assert speaker.pongs == []
    received = [speaker.receive()["text"] for _ in range(MAX_UNREAD // 4)]
    time.sleep(0.1)
    assert len(speaker.pauses) == 1
    received += [speaker.receive()["text"] for _ in range(MAX_UNREAD // 2)]
    wait_until(lambda: len(speaker.pauses) > 1)
    assert speaker.pauses[1][0] is False
    received += [speaker.receive()["text"] for _ in range(count - len(received))]
    assert received == [str(number) for number in range(count)]
    wait_until(lambda: speaker.pongs)
    wait_until(lambda: not speaker.pauses[-1][0])
    assert [paused for paused, _ in speaker.pauses] == [True, False] * (len(speaker.pauses) // 2)
    times = [at for _, at in speaker.pauses]
    assert times == sorted(times)


def test_bound_in_bytes_holds_for_few_messages(taken: Speak) -> None:
    speaker = taken()
    for _ in range(8):
        speaker.client.socket.sendall(frame(BINARY, bytes(300_000)))
    wait_until(lambda: speaker.pauses)
    speaker.client.send(PONG, b"behind")
    assert [paused for paused, _ in speaker.pauses] == [True]
    for _ in range(8):
        assert len(speaker.receive()["bytes"]) == 300_000
    wait_until(lambda: speaker.pongs)
    assert speaker.pauses[-1][0] is False


def test_without_read_ahead_reading_pauses_as_the_server_pauses_it(speak: Speak, ws: str) -> None:
    speaker = speak()
    speaker.take_over()
    speaker.accept()
    count = 2 * MAX_UNREAD
    speaker.client.socket.sendall(frame(TEXT, b"unread") * count + frame(PONG, b"behind"))
    time.sleep(0.2)
    assert speaker.pongs == []
    for _ in range(count):
        assert speaker.receive()["text"] == "unread"
    wait_until(lambda: speaker.pongs)
    assert speaker.pauses == []
