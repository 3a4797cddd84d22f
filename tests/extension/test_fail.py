"""Level 2: failing a connection."""

from __future__ import annotations

from typing import Any

import pytest

from ..support.client import BINARY, CLOSE, PING, PONG, TEXT, close_code, frame
from ..support.extension import Speaker
from ..support.server import freed, kernel_sockets, wait_until
from ..support.timeouts import LATE
from .conftest import Speak

GONE = {"type": "websocket.disconnect", "code": 4000, "reason": "why"}

secure = pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])


def fail(speaker: Speaker, timeout: float = 2) -> None:
    speaker.call("fail", 4000, "why", timeout)


@secure
def test_peer_that_reads_gets_the_close_frame_behind_what_was_buffered_then_fin(
    taken: Speak, secure: bool
) -> None:
    """And one that closes then gets no RST."""
    speaker = taken(secure=secure, client={"receive_buffer": 4096})
    speaker.send("send", text="before")
    speaker.ping(b"before")
    fail(speaker)
    assert speaker.client.expect(TEXT) == b"before"
    assert speaker.client.expect(PING) == b"before"
    assert close_code(speaker.client.expect(CLOSE)) == (4000, "why")
    with pytest.raises(EOFError):
        speaker.client.receive()
    speaker.client.send(CLOSE, b"\x0f\xa0")
    speaker.client.close()
    speaker.end()
    freed(speaker.server, speaker.client, 0)


@secure
def test_blocked_receive_ends_at_once(taken: Speak, is_legacy: bool, secure: bool) -> None:
    speaker = taken(secure=secure, timeout=20)
    receiving = speaker.begin(speaker.receiving())
    fail(speaker, 20)
    if is_legacy:
        speaker.client.close()  # it learns of the end with the end of TCP
        assert receiving.result(10)["type"] == "websocket.disconnect"
    else:
        assert receiving.result(5) == GONE


@secure
def test_blocked_send_ends_at_once_with_an_oserror(
    taken: Speak, is_legacy: bool, secure: bool
) -> None:
    speaker = taken(secure=secure, timeout=20, client={"receive_buffer": 4096})
    blocked = speaker.block()
    fail(speaker, 0.2 if is_legacy else 20)
    error = blocked.exception(5)
    assert isinstance(error, OSError | RuntimeError if is_legacy else OSError)


def test_ready_messages_come_in_order_then_the_disconnect_again_and_again(
    taken: Speak, is_legacy: bool
) -> None:
    speaker = taken()
    speaker.client.socket.sendall(frame(TEXT, b"first") + frame(TEXT, b"second"))
    speaker.client.send(PONG, b"all there")
    wait_until(lambda: speaker.pongs)
    fail(speaker)
    speaker.client.send(TEXT, b"too late")
    assert [speaker.receive()["text"] for _ in range(2)] == ["first", "second"]
    if is_legacy:  # it leaves it to the middleware to say so
        speaker.client.close()
        assert speaker.receive()["type"] == "websocket.disconnect"
    else:
        assert [speaker.receive() for _ in range(3)] == [GONE] * 3


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "send", "text": "too late"},
        {"kind": "send", "bytes": b"too late"},
        {"kind": "close", "code": 1000},
    ],
    ids=["text", "bytes", "close"],
)
def test_later_sends_raise_an_oserror(taken: Speak, is_legacy: bool, event: Any) -> None:
    speaker = taken()
    fail(speaker)
    with pytest.raises((OSError, RuntimeError) if is_legacy else OSError):
        speaker.send(**event)
    with pytest.raises((OSError, RuntimeError) if is_legacy else OSError):
        speaker.send(**event)


def test_reading_that_was_paused_goes_on(taken: Speak) -> None:
    speaker = taken(timeout=20)
    speaker.client.socket.sendall(frame(TEXT, b"unread") * 1000)
    wait_until(lambda: speaker.pauses)
    fail(speaker, 20)
    for _ in range(100):  # far more than the kernel has room for
        speaker.client.socket.sendall(frame(BINARY, bytes(100_000)))
    assert close_code(speaker.client.expect(CLOSE)) == (4000, "why")
    assert [paused for paused, _ in speaker.pauses] == [True]


@secure
@pytest.mark.parametrize("timeout", [0, 0.4])
def test_kernel_lists_nothing_once_the_timeout_has_passed(
    taken: Speak, timeout: float, secure: bool
) -> None:
    """With a peer that reads nothing, and megabytes buffered."""
    speaker = taken(secure=secure, timeout=20, client={"receive_buffer": 4096})
    blocked = speaker.block()
    assert kernel_sockets(speaker.server.port, speaker.client.port)
    fail(speaker, timeout)
    blocked.exception(timeout + LATE)
    speaker.end()
    freed(speaker.server, speaker.client, timeout)


class TestRefused:
    """A call that raises changes nothing."""

    def test_arguments(self, taken: Speak) -> None:
        speaker = taken()
        for arguments, message in {
            (1005, "", 1): "1005 must not be in a Close frame",
            (1006, "", 1): "1006 must not",
            (999, "", 1): "999 must not",
            (4000, "x" * 124, 1): "at most 123 bytes",
            (4000, "é" * 62, 1): "at most 123 bytes",
            (4000, "", -1): "timeout must be",
            (4000, "", float("nan")): "timeout must be",
        }.items():
            with pytest.raises(ValueError, match=message):
                speaker.call("fail", *arguments)
            speaker.ping(b"open")
            assert speaker.client.expect(PING) == b"open"
        speaker.call("fail", 4000, "x" * 123, 1)
        assert close_code(speaker.client.expect(CLOSE)) == (4000, "x" * 123)
        assert speaker.closings == []

    def test_connection_that_is_not_open(self, speak: Speak) -> None:
        speaker = speak()
        speaker.take_over()
        with pytest.raises(OSError, match="not open"):
            fail(speaker)
        speaker.accept()
        fail(speaker)
        assert close_code(speaker.client.expect(CLOSE)) == (4000, "why")
        for call in fail, lambda speaker: speaker.ping(b""):
            with pytest.raises(OSError, match="not open"):
                call(speaker)
        assert speaker.call("traffic") == {}


def test_neither_callback_is_called_by_it_nor_after_it(taken: Speak) -> None:
    speaker = taken()
    fail(speaker)
    speaker.client.send(PONG, b"late")
    speaker.client.expect(CLOSE)
    speaker.client.send(CLOSE, b"\x0f\xa0")
    speaker.client.until_end()
    speaker.client.close()
    speaker.end()
    freed(speaker.server, speaker.client, 0)
    assert (speaker.pongs, speaker.closings, speaker.pauses) == ([], [], [])


def test_callback_may_fail_the_connection(speak: Speak, is_legacy: bool) -> None:
    """And what follows in the same read is not delivered."""
    speaker = speak()
    speaker.call(
        *("take_over", lambda *pong: speaker.side.extension["fail"](4000, "why", 1)),
        lambda: speaker.closings.append(0),
    )
    speaker.accept()
    speaker.client.socket.sendall(frame(PONG, b"any") + frame(TEXT, b"late"))
    assert close_code(speaker.client.expect(CLOSE)) == (4000, "why")
    if not is_legacy:
        assert speaker.receive() == GONE
    speaker.client.close()
    speaker.end()
    freed(speaker.server, speaker.client, 1)
    assert speaker.closings == []
