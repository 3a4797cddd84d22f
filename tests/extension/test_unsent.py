"""Little is in front of a Ping: what may wait is bounded on a connection that is taken over."""

from __future__ import annotations

import sys

import pytest

from asgi_keepalive.endpoint.kernel import UNSENT

from ..support.server import kernel_sockets
from ..support.tcp import notsent_lowat
from .conftest import Speak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")

wss = pytest.mark.parametrize("wss", [False, True], ids=["ws", "wss"])


@wss
def test_the_kernel_takes_little_ahead_once_the_connection_is_taken_over(
    speak: Speak, wss: bool
) -> None:
    speaker = speak(secure=wss)
    speaker.accept()
    ports = speaker.server.port, speaker.client.port
    assert notsent_lowat(*ports) == 0
    speaker.take_over()
    assert notsent_lowat(*ports) == UNSENT


@wss
def test_a_peer_that_reads_nothing_holds_little(taken: Speak, wss: bool) -> None:
    speaker = taken(secure=wss, client={"receive_buffer": 4096})
    blocked = speaker.block()
    [(_, in_kernel)] = kernel_sockets(speaker.server.port, speaker.client.port)
    assert in_kernel < 4 * UNSENT
    assert speaker.unsent() < 10 * UNSENT
    blocked.cancel()
