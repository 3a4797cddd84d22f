"""Level 1: `on_closing` also comes for an end that is there before *Accept*."""

from __future__ import annotations

import pytest

from ..support.client import CLOSE
from .conftest import Speak


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
