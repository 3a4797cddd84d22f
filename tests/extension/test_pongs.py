"""Level 1: what is told of Pongs."""

from __future__ import annotations

import time

from ..support.client import PONG, TEXT, frame
from ..support.extension import Speaker
from .conftest import Speak


def payloads(speaker: Speaker) -> list[bytes]:
    return [payload for payload, _ in speaker.pongs]


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
