"""Level 1: what is told of Pongs."""

from __future__ import annotations

import time

import pytest

from ..support.client import CLOSE, PING, PONG, TEXT, frame
from ..support.extension import Speaker
from ..support.server import wait_until
from .conftest import Speak


def payloads(speaker: Speaker) -> list[bytes]:
    return [payload for payload, _ in speaker.pongs]


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_each_pong_is_told_while_the_application_awaits_something_else(
    taken: Speak, secure: bool
) -> None:
    """The unsolicited too, also before the first Ping."""
    speaker = taken(secure=secure)
    speaker.client.send(PONG, b"unsolicited")
    wait_until(lambda: payloads(speaker) == [b"unsolicited"])
    speaker.ping(b"mine")
    speaker.client.send(PONG, speaker.client.expect(PING))
    speaker.client.send(PONG, bytes(125))
    speaker.client.send(PONG)
    wait_until(lambda: len(speaker.pongs) == 4)
    assert payloads(speaker) == [b"unsolicited", b"mine", bytes(125), b""]
    assert all(type(payload) is bytes for payload in payloads(speaker))


def test_its_time_is_that_of_the_monotonic_clock(taken: Speak) -> None:
    speaker = taken()
    before = time.monotonic()
    for _ in range(5):
        speaker.client.send(PONG)
        time.sleep(0.0011)
    wait_until(lambda: len(speaker.pongs) == 5)
    times = [at for _, at in speaker.pongs]
    assert before < times[0]
    assert times == sorted(times)
    assert times[-1] < time.monotonic()
    assert any(round(at * 1000) != round(at * 1000, 2) for at in times)  # not in whole milliseconds


@pytest.mark.parametrize(
    "end", [frame(CLOSE, b"\x03\xe8"), b"\xff" * 20], ids=["close", "protocol error"]
)
def test_pong_that_precedes_the_end_in_the_same_read_is_told_before_it(
    taken: Speak, end: bytes
) -> None:
    told: list[str] = []
    speaker = taken()
    speaker.pongs = Noting(told, "pong")
    speaker.closings = Noting(told, "closing")
    speaker.client.socket.sendall(frame(PONG, b"last") + end)
    wait_until(lambda: "closing" in told)
    assert told == ["pong", "closing"]


class Noting(list):  # type: ignore[type-arg]
    """Notes in another list that something has been put into this one."""

    def __init__(self, told: list[str], name: str) -> None:
        super().__init__()
        self.told, self.name = told, name

    def append(self, one: object) -> None:
        self.told.append(self.name)


def test_pong_in_parts_is_told_once_it_is_whole(taken: Speak) -> None:
    speaker = taken()
    whole = frame(PONG, b"in parts")
    for part in whole[:1], whole[1:7]:
        speaker.client.socket.sendall(part)
        time.sleep(0.05)
    assert speaker.pongs == []
    speaker.client.socket.sendall(whole[7:] + frame(TEXT, b"after"))
    assert speaker.receive()["text"] == "after"
    assert payloads(speaker) == [b"in parts"]


def test_no_pong_is_told_after_the_end(taken: Speak) -> None:
    speaker = taken(timeout=2)
    closing = speaker.begin(speaker.sending("close"))
    answer = speaker.client.expect(CLOSE)
    speaker.client.send(PONG, b"late")
    speaker.client.send(CLOSE, answer)
    speaker.client.until_end()
    closing.result(10)
    assert (payloads(speaker), len(speaker.closings)) == ([], 1)
