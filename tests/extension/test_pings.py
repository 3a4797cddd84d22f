"""Level 1: taking a connection over, and Pings."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from ..support.client import BINARY, CLOSE, PING, TEXT, close_code
from ..support.extension import Speaker
from .conftest import Speak


def test_both_functions_are_there_for_every_websocket(speak: Speak) -> None:
    functions = speak().side.extension
    assert callable(functions["take_over"])
    assert callable(functions["ping"])


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


def test_second_take_over_raises(taken: Speak) -> None:
    with pytest.raises(RuntimeError, match="already"):
        taken().take_over()


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_ping_right_after_accept_is_on_the_wire_with_its_payload(
    speak: Speak, secure: bool
) -> None:
    speaker = speak(secure=secure)
    speaker.take_over()
    speaker.receive()

    async def accept_and_ping() -> None:
        await speaker.sending("accept")
        for payload in b"", bytes(range(125)):
            speaker.side.extension["ping"](payload)

    speaker.begin(accept_and_ping()).result(10)
    speaker.client.open()
    assert speaker.client.expect(PING) == b""
    assert speaker.client.expect(PING) == bytes(range(125))


def test_payload_of_126_bytes_raises_and_the_connection_works_on(taken: Speak) -> None:
    speaker = taken()
    with pytest.raises(ValueError, match="at most 125 bytes"):
        speaker.ping(bytes(126))
    speaker.ping(b"good")
    assert speaker.client.expect(PING) == b"good"
    speaker.client.send(TEXT, b"hello")
    assert speaker.receive()["text"] == "hello"


def test_ping_returns_at_once_while_a_send_is_blocked(taken: Speak) -> None:
    """And it follows what was buffered."""
    speaker = taken(client={"receive_buffer": 4096})
    blocked = speaker.block()
    speaker.ping(b"behind")
    assert not blocked.done()
    blocked.cancel()
    opcodes = []
    while (frame := speaker.client.receive())[0] != PING:
        opcodes.append(frame[0])
    assert frame == (PING, b"behind")
    assert set(opcodes) == {BINARY}


class TestRefusedPing:
    """`ping` raises an `OSError` where the connection is not open."""

    def refused(self, speaker: Speaker) -> None:
        with pytest.raises(OSError, match="not open"):
            speaker.ping(b"never")

    def test_before_accept(self, speak: Speak) -> None:
        speaker = speak()
        speaker.take_over()
        self.refused(speaker)
        speaker.accept()
        speaker.ping(b"first")
        assert speaker.client.expect(PING) == b"first"

    def test_after_a_denial(self, speak: Speak) -> None:
        speaker = speak()
        speaker.take_over()
        speaker.receive()
        speaker.send("close")
        self.refused(speaker)
        assert " 403 " in speaker.client.response()

    def test_after_the_applications_close(self, taken: Speak) -> None:
        speaker = taken()
        speaker.send("close", code=4000)
        self.refused(speaker)
        assert close_code(speaker.client.expect(CLOSE))[0] == 4000

    def test_while_the_applications_close_is_blocked(self, taken: Speak) -> None:
        speaker = taken(client={"receive_buffer": 4096})
        blocked = speaker.block()
        closing = speaker.begin(speaker.sending("close"))
        speaker.closed()
        self.refused(speaker)
        for waiting in blocked, closing:
            waiting.cancel()

    def test_after_the_peers_close(self, taken: Speak) -> None:
        speaker = taken()
        speaker.client.send(CLOSE, b"\x03\xe8")
        speaker.closed()
        self.refused(speaker)

    def test_after_the_peers_end_of_file(self, taken: Speak) -> None:
        speaker = taken()
        speaker.client.close()
        speaker.closed()
        self.refused(speaker)

    def test_after_a_protocol_error(self, taken: Speak) -> None:
        speaker = taken()
        speaker.client.socket.sendall(b"\xff" * 20)
        speaker.closed()
        self.refused(speaker)
        speaker.client.until_end()
        self.refused(speaker)
