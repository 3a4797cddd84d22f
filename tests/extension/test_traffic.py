"""Level 5: how things stand between the server and the peer."""

from __future__ import annotations

import sys
import time

import pytest

from ..support.client import CLOSE, TEXT, frame
from ..support.server import wait_until
from .conftest import Speak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")

secure = pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])


@secure
def test_unsent_is_0_with_an_idle_peer(taken: Speak, secure: bool) -> None:
    speaker = taken(secure=secure)
    speaker.send("send", text="sent")
    speaker.client.expect(TEXT)
    assert speaker.unsent() == 0


@secure
def test_unsent_is_more_with_one_that_reads_nothing(taken: Speak, secure: bool) -> None:
    speaker = taken(secure=secure, client={"receive_buffer": 4096})
    blocked = speaker.block()
    assert speaker.unsent() > 32768
    blocked.cancel()


def test_quiet_counts_from_the_peers_last_frame_also_one_that_is_unread(taken: Speak) -> None:
    speaker = taken()
    speaker.client.socket.sendall(frame(TEXT, b"unread") * 200)
    wait_until(lambda: speaker.pauses)
    time.sleep(0.3)
    assert 0.25 < speaker.call("traffic")["quiet"] < 5
    before = time.monotonic()
    speaker.client.send(TEXT, b"not even read by the server")
    time.sleep(0.02)
    assert speaker.call("traffic")["quiet"] <= time.monotonic() - before + 0.01


def test_it_is_empty_once_the_connection_is_closing(taken: Speak) -> None:
    speaker = taken()
    speaker.client.send(CLOSE, b"\x03\xe8")
    speaker.closed()
    assert speaker.call("traffic") == {}
