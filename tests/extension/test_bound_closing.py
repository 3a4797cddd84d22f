"""Level 4: every ending of a connection is bounded."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from ..support.client import BINARY, CLOSE
from ..support.extension import Speaker, answered
from ..support.server import freed, kernel_sockets
from .conftest import Speak

TIMEOUT = 0.4

secure = pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])


def application_closes(speaker: Speaker) -> None:
    speaker.begin(speaker.sending("close"))


def peer_closes(speaker: Speaker) -> None:
    speaker.client.send(CLOSE, b"\x03\xe8")


def peer_half_closes(speaker: Speaker) -> None:
    socket.socket.shutdown(speaker.client.socket, socket.SHUT_WR)


ENDS: dict[str, Callable[[Speaker], Any]] = {
    "application's close": application_closes,
    "application's return": Speaker.end,
    "server's shutdown": lambda speaker: speaker.server.exit(),
    "peer's close frame": peer_closes,
    "peer's end of file": peer_half_closes,
    "protocol error": lambda speaker: speaker.client.socket.sendall(b"\xff" * 20),
}


@secure
@pytest.mark.parametrize("end", ENDS)
def test_kernel_lists_nothing_once_the_timeout_has_passed(
    taken: Speak, end: str, secure: bool
) -> None:
    """With a peer that reads nothing, and megabytes buffered."""
    speaker = taken(secure=secure, timeout=TIMEOUT, client={"receive_buffer": 4096})
    blocked = speaker.block()
    if end == "application's return":
        blocked.cancel()
    ENDS[end](speaker)
    speaker.closed()
    speaker.end()
    if end == "server's shutdown":
        speaker.server.thread.join(10)
        assert not kernel_sockets(speaker.server.port, speaker.client.port)
    else:
        freed(speaker.server, speaker.client, TIMEOUT)


@secure
def test_blocked_send_ends_with_an_oserror_after_the_peers_end_of_file(
    taken: Speak, secure: bool
) -> None:
    """And so does every later one."""
    speaker = taken(secure=secure, timeout=TIMEOUT, client={"receive_buffer": 4096})
    blocked = speaker.block()
    peer_half_closes(speaker)
    assert isinstance(blocked.exception(10), OSError)
    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011 - each server has its own
            speaker.send("send", text="too late")


def test_send_raises_after_the_peers_end_of_file_with_an_idle_peer(
    taken: Speak, is_legacy: bool
) -> None:
    speaker = taken()
    peer_half_closes(speaker)
    speaker.closed()
    assert speaker.receive()["type"] == "websocket.disconnect"
    # The deprecated protocol raises uvicorn's own error once its disconnect has been received.
    with pytest.raises(RuntimeError if is_legacy else OSError):
        speaker.send("send", text="too late")


@secure
@pytest.mark.parametrize("end", ["application's close", "application's return"])
def test_peer_that_acknowledges_everything_in_time_gets_no_reset(
    taken: Speak, end: str, secure: bool
) -> None:
    speaker = taken(secure=secure, timeout=10, client={"receive_buffer": 65536})
    sending = speaker.begin(speaker.sending("send", bytes=bytes(900_000)))
    time.sleep(0.1)
    if end == "application's close":
        sending = speaker.begin(speaker.sending("close"))
    else:
        sending.cancel()
        speaker.end()
    time.sleep(0.1)
    frames = answered(speaker.client)
    speaker.end()
    # After a return uvicorn's two newer protocols write none.
    assert [opcode for opcode, _ in frames if opcode != CLOSE] == [BINARY]
    speaker.client.close()
    freed(speaker.server, speaker.client, 0)


@secure
def test_nor_does_one_that_closes_first(taken: Speak, secure: bool) -> None:
    speaker = taken(secure=secure, timeout=10, client={"receive_buffer": 65536})
    sending = speaker.begin(speaker.sending("send", bytes=bytes(900_000)))
    time.sleep(0.1)
    speaker.client.send(CLOSE, b"\x03\xe8")
    time.sleep(0.1)
    frames = []
    with suppress(EOFError):
        while True:
            frames.append(speaker.client.receive()[0])
    assert frames == [BINARY, CLOSE]
    sending.cancel()
    speaker.end()
    speaker.client.close()
    freed(speaker.server, speaker.client, 0)


def test_later_call_sets_another_bound_until_the_end_begins(taken: Speak) -> None:
    speaker = taken(timeout=20, client={"receive_buffer": 4096})
    blocked = speaker.block()
    for refused in -1, float("nan"):
        with pytest.raises(ValueError, match="timeout must be"):
            speaker.call("bound_closing", refused)
    speaker.call("bound_closing", TIMEOUT)
    application_closes(speaker)
    speaker.closed()
    speaker.call("bound_closing", 20)
    blocked.exception(10)
    speaker.end()
    freed(speaker.server, speaker.client, TIMEOUT)


def test_close_that_is_cancelled_while_it_waits_closes_all_the_same(taken: Speak) -> None:
    speaker = taken(timeout=TIMEOUT, client={"receive_buffer": 4096})
    blocked = speaker.block()
    closing = speaker.begin(speaker.sending("close"))
    speaker.closed()
    closing.cancel()
    blocked.cancel()
    speaker.end()
    freed(speaker.server, speaker.client, TIMEOUT)
