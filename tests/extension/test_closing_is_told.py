"""Level 1: `on_closing` comes exactly once, whatever ends the connection."""

from __future__ import annotations

import logging
import socket
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from asgi_keepalive.endpoint.kernel import reset_on_close

from ..support.client import CLOSE, PING, Client
from ..support.extension import Speaker
from ..support.server import wait_until
from ..support.serving import APPLICATION_FAILED, CANCELLED
from .conftest import Speak


def reset(client: Client) -> None:
    reset_on_close(client.socket)
    client.close()


def half_close(client: Client) -> None:
    socket.socket.shutdown(client.socket, socket.SHUT_WR)  # an SSLSocket's own ends TLS, too


ENDS: dict[str, Callable[[Speaker], Any]] = {
    "application's close": lambda speaker: speaker.begin(speaker.sending("close")),
    "application's return": lambda speaker: speaker.end(),
    "application's exception": lambda speaker: speaker.end(ValueError("its own")),
    "peer's close frame": lambda speaker: speaker.client.send(CLOSE, b"\x03\xe8"),
    "peer's end of file": lambda speaker: half_close(speaker.client),
    "peer's reset": lambda speaker: reset(speaker.client),
    "protocol error": lambda speaker: speaker.client.socket.sendall(b"\xff" * 20),
    "server's shutdown": lambda speaker: speaker.server.exit(),
}


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("end", ENDS)
def test_it_comes_once_after(taken: Speak, end: str, secure: bool) -> None:
    speaker = taken(secure=secure)
    speaker.ping(b"first")
    speaker.client.expect(PING)
    ENDS[end](speaker)
    speaker.closed()
    if end != "peer's reset":
        speaker.client.until_end()
        speaker.client.close()
    speaker.end()
    if end == "server's shutdown":
        speaker.server.thread.join(10)
    else:
        wait_until(lambda: not speaker.server.connections())
    assert len(speaker.closings) == 1
    expected = *CANCELLED, *(APPLICATION_FAILED if end == "application's exception" else ())
    errors = [one.getMessage() for one in speaker.server.records if one.levelno >= logging.ERROR]
    assert [one for one in errors if not one.startswith(expected)] == []


@pytest.mark.parametrize("leave", [half_close, reset])
def test_it_comes_for_a_peer_that_leaves_before_accept(
    speak: Speak, leave: Callable[[Client], None]
) -> None:
    speaker = speak()
    speaker.take_over()
    speaker.receive()
    leave(speaker.client)
    accepting = speaker.begin(speaker.sending("accept"))
    accepting.exception(10)  # which some raise
    speaker.closed()


def test_it_comes_for_a_peer_whose_close_frame_comes_before_accept(speak: Speak, ws: str) -> None:
    if "wsproto" in ws:
        pytest.skip("the library keeps what comes before the accept until more comes")
    speaker = speak()
    speaker.take_over()
    speaker.receive()
    speaker.client.send(CLOSE, b"\x03\xe8")
    accepting = speaker.begin(speaker.sending("accept"))
    accepting.exception(10)
    speaker.closed()


def test_it_is_called_by_take_over_if_it_has_happened_before(speak: Speak) -> None:
    speaker = speak()
    speaker.accept()
    speaker.client.send(CLOSE, b"\x03\xe8")
    speaker.client.until_end()
    wait_until(lambda: speaker.call("traffic") == {})
    speaker.take_over()
    assert len(speaker.closings) == 1


def test_neither_callback_is_referenced_after_the_end(taken: Speak) -> None:
    speaker = taken()
    reference: list[Any] = []

    class Callbacks:
        def on_read_paused(self, paused: bool, time: float) -> None: ...

    callbacks = Callbacks()
    reference.append(weakref.ref(callbacks))
    speaker.call("read_ahead", callbacks.on_read_paused)
    del callbacks
    assert reference[0]() is not None
    speaker.client.send(CLOSE, b"\x03\xe8")
    speaker.closed()
    wait_until(lambda: reference[0]() is None)
