"""Level 3: reading ahead of the application."""

from __future__ import annotations

import time
from contextlib import suppress

from ..support.client import BINARY, CLOSE, PING, PONG, TEXT, Client, close_code, frame
from ..support.extension import answered
from ..support.server import freed, wait_until
from .conftest import Speak

MAX_UNREAD = 32
"""Messages: uvicorn's default of `ws_max_queue`, what daphne has, and these tests set elsewhere."""


def stuff(client: Client, data: bytes) -> None:
    """Send until the server reads nothing any more, and the kernel has no room."""
    client.socket.settimeout(0.3)
    with suppress(TimeoutError):
        for _ in range(1000):
            client.socket.sendall(data)
    client.socket.settimeout(10)


def test_with_31_unread_messages_pongs_are_seen_and_pings_answered(taken: Speak) -> None:
    speaker = taken()
    speaker.client.socket.sendall(
        frame(TEXT, b"unread") * (MAX_UNREAD - 1) + frame(PONG, b"seen") + frame(PING, b"answered")
    )
    assert speaker.client.expect(PONG) == b"answered"
    assert [payload for payload, _ in speaker.pongs] == [b"seen"]
    assert speaker.pauses == []


def test_with_31_unread_messages_the_peers_close_frame_is_seen(taken: Speak) -> None:
    speaker = taken()
    speaker.client.socket.sendall(
        frame(TEXT, b"unread") * (MAX_UNREAD - 1) + frame(CLOSE, b"\x0f\xa0")
    )
    speaker.client.expect(CLOSE)
    speaker.closed()
    texts = [speaker.receive().get("text") for _ in range(MAX_UNREAD)]
    assert texts == ["unread"] * (MAX_UNREAD - 1) + [None]


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


def test_after_the_applications_close_the_peers_close_frame_is_seen(taken: Speak) -> None:
    """With more unread than the bound; TCP ends as if nothing had been unread."""
    speaker = taken(timeout=20)
    speaker.client.socket.sendall(frame(TEXT, b"unread") * 4 * MAX_UNREAD)
    wait_until(lambda: speaker.pauses)
    closing = speaker.begin(speaker.sending("close", code=4000))
    assert close_code(speaker.client.expect(CLOSE))[0] == 4000
    stuff(speaker.client, frame(TEXT, b"more"))
    speaker.client.send(CLOSE, b"\x0f\xa0")
    assert speaker.client.until_end() == []
    closing.result(10)
    speaker.end()
    speaker.client.close()
    freed(speaker.server, speaker.client, 0)
    assert [paused for paused, _ in speaker.pauses] == [True]


def test_after_the_applications_return_too(taken: Speak) -> None:
    speaker = taken(timeout=20)
    speaker.client.socket.sendall(frame(TEXT, b"unread") * 4 * MAX_UNREAD)
    wait_until(lambda: speaker.pauses)
    speaker.end()
    # After a return uvicorn's two newer protocols write no Close frame.
    assert {opcode for opcode, _ in answered(speaker.client)} <= {CLOSE}
    speaker.client.close()
    freed(speaker.server, speaker.client, 0)
