"""The control frames that are written, as the `websockets` library writes them."""

from __future__ import annotations

import pytest
from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode

from asgi_keepalive.endpoint.frames import close_frame, ping_frame, pong_frame


def library(opcode: Opcode, payload: bytes) -> bytes:
    return Frame(opcode, payload).serialize(mask=False)


@pytest.mark.parametrize("payload", [b"", b"ping", bytes(range(125))], ids=len)
def test_pings_and_pongs(payload: bytes) -> None:
    assert ping_frame(payload) == library(Opcode.PING, payload)
    assert pong_frame(payload) == library(Opcode.PONG, payload)


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1011, "reason"), (4999, "\N{SNOWMAN}" * 41)]
)
def test_close(code: int, reason: str) -> None:
    assert close_frame(code, reason) == library(Opcode.CLOSE, Close(code, reason).serialize())


def test_close_without_a_code() -> None:
    assert close_frame(1005, "") == library(Opcode.CLOSE, b"")


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000])
def test_codes_that_must_not_be_in_one(code: int) -> None:
    with pytest.raises(ProtocolError, match=r"^invalid status code$"):
        close_frame(code, "")
