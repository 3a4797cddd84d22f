"""Level 1: taking a connection over, and Pings."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from ..support.client import PING
from .conftest import Speak


def test_without_take_over_the_servers_own_keepalive_is_on(speak: Speak, ws: str) -> None:
    if ws == "gunicorn":
        pytest.skip("it has none")
    # daphne looks every 2 s whether a Ping is due, and its timers know whole seconds.
    speaker = speak(ws_ping_interval=0.1, ws_ping_timeout=1)
    speaker.accept()
    speaker.client.expect(PING)
    if ws != "hypercorn":  # its Pings have no timeout
        speaker.client.until_end()


def test_after_take_over_the_peer_sees_no_ping_but_those_asked_for(taken: Speak, ws: str) -> None:
    speaker = taken(ws_ping_interval=0.1, ws_ping_timeout=1 if ws == "daphne" else 0.1)
    speaker.client.socket.settimeout(4.5 if ws == "daphne" else 0.5)
    with pytest.raises(TimeoutError):  # neither a Ping nor a Close frame
        speaker.client.receive()
    speaker.ping(b"mine")
    assert speaker.client.expect(PING) == b"mine"


def test_take_over_of_an_accepted_connection_ends_the_keepalive_too(speak: Speak, ws: str) -> None:
    if ws == "gunicorn":
        pytest.skip("it has none")
    speaker = speak(ws_ping_interval=0.1, ws_ping_timeout=5)
    speaker.accept()
    if ws == "hypercorn":  # its Pings that have begun go on
        return
    speaker.client.expect(PING)
    speaker.take_over()
    time.sleep(0.1)
    speaker.ping(b"mine")
    with suppress(TimeoutError):
        while speaker.client.expect(PING) != b"mine":
            pass
    speaker.client.socket.settimeout(2.5 if ws == "daphne" else 0.5)
    with pytest.raises(TimeoutError):
        speaker.client.receive()
