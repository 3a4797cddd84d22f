"""Pings are answered, but a peer that does not read must not fill the memory."""

from __future__ import annotations

import pytest

from ..faults.differential.frames import close, raw
from ..support.client import PING, TEXT
from ..support.fake_loop import in_no_time
from ..support.receiver import Reception


def pong(payload: bytes) -> bytes:
    """Return a Pong frame as a server sends it."""
    return bytes((0x8A, len(payload))) + payload


@pytest.mark.parametrize("payload", [b"", b"ping", b"\xff" * 125], ids=len)
@in_no_time
async def test_each_is_answered(payload: bytes) -> None:
    one = Reception()
    one.receive(raw(PING, payload) * 2)
    assert one.transport.written == pong(payload) * 2


@pytest.mark.parametrize("pongs_after_close", [True, False])
@pytest.mark.parametrize("transport_closes", [True, False])
@in_no_time
async def test_after_an_own_close_as_the_server_would(
    pongs_after_close: bool, transport_closes: bool
) -> None:
    one = Reception()
    one.adapter.has_opened = False
    one.adapter.pongs_after_close = pongs_after_close
    one.transport.closing = transport_closes
    one.receive(raw(PING, b"ping"))
    answers = pongs_after_close and not transport_closes
    assert one.transport.written == (pong(b"ping") if answers else b"")


class TestFullBuffer:
    @in_no_time
    async def test_withholds_all_answers_but_the_last(self) -> None:
        one = Reception()
        one.receiver.pause_writing()
        one.receive(raw(PING, b"1") + raw(PING, b"2"), raw(PING, b"3"))
        assert one.transport.written == b""
        one.receiver.resume_writing()
        assert one.transport.written == pong(b"3")
        assert [call for call in one.told if call != "has_read"] == [
            "pause_writing",
            "resume_writing",
        ]
        one.receive(raw(PING, b"4"))
        assert one.transport.written == pong(b"3") + pong(b"4")

    @in_no_time
    async def test_withheld_answer_is_written_once(self) -> None:
        one = Reception()
        one.receiver.pause_writing()
        one.receive(raw(PING, b"1"))
        for _ in range(2):
            one.receiver.resume_writing()
            one.receiver.pause_writing()
        assert one.transport.written == pong(b"1")

    @in_no_time
    async def test_withheld_answer_is_not_written_behind_a_close(self) -> None:
        one = Reception()
        one.receiver.pause_writing()
        one.receive(raw(PING, b"1") + close(1000))
        one.adapter.has_opened = False
        one.receiver.resume_writing()
        assert one.transport.written == b""

    @in_no_time
    async def test_keeps_nothing_else_from_being_read(self) -> None:
        one = Reception()
        one.receiver.pause_writing()
        one.receive(raw(PING, b"1") + raw(TEXT, b"text"))
        assert await one.next() == "text"
        assert one.is_reading
