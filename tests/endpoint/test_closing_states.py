"""The states of a transport: each call in each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from asgi_keepalive.endpoint.closing import TRANSITIONS, BoundedTransport, State, Step
from asgi_keepalive.endpoint.lingering import LONGEST_WAIT

from ..support.fake_loop import elapsed, fake_loop, in_no_time
from ..support.transport import FakeTransport

CALLS: dict[Step, Callable[[BoundedTransport], object]] = {
    Step.WRITE_EOF: BoundedTransport.write_eof,
    Step.CLOSE: BoundedTransport.close,
    Step.LINGER: BoundedTransport.linger,
    Step.HURRY: BoundedTransport.hurry,
    Step.LOST: BoundedTransport.lost,
}

WAYS = {
    State.OPEN: [],
    State.HALF_CLOSED: [Step.WRITE_EOF],
    State.CLOSING: [Step.CLOSE],
    State.LINGERING: [Step.LINGER],
    State.HURRYING: [Step.CLOSE, Step.HURRY],
    State.LOST: [Step.LOST],
}
"""The steps that lead to each state."""

BEGIN = {Step.WRITE_EOF, Step.CLOSE, Step.LINGER}

ILLEGAL = {
    State.OPEN: {Step.HURRY},
    State.HALF_CLOSED: {Step.WRITE_EOF, Step.LINGER},
    State.CLOSING: BEGIN,
    State.LINGERING: BEGIN,
    State.HURRYING: {*BEGIN, Step.HURRY},
    State.LOST: set(Step),
}


class Connection:
    """A transport of which one byte waits to be sent, in a state."""

    def __init__(self, state: State, *, can_write_eof: bool = True) -> None:
        self.told: list[str] = []
        self.transport = FakeTransport(can_write_eof=can_write_eof, buffered=1)
        self.bounded = BoundedTransport(
            self.transport,
            fake_loop(),
            lambda: self.told.append("closing"),
            lambda: self.told.append("end"),
        )
        for step in WAYS[state]:
            CALLS[step](self.bounded)
        assert self.bounded.state is state

    def everything(self) -> object:
        """Return all that a step may change."""
        return (
            self.bounded.state,
            self.bounded.is_closing(),
            self.told.copy(),
            self.transport.calls.copy(),
            self.transport.limit,
            self.transport.protocol,
            fake_loop().timers(),
        )


def pairs(steps: Callable[[State], set[Step]]) -> list[tuple[State, Step]]:
    return [
        (state, step)
        for state in State
        for step in sorted(steps(state), key=lambda step: step.value)
    ]


@pytest.mark.parametrize("can_write_eof", [True, False], ids=["tcp", "tls"])
@pytest.mark.parametrize(("state", "step"), pairs(ILLEGAL.__getitem__))
@in_no_time
async def test_an_illegal_step_changes_nothing(
    state: State, step: Step, can_write_eof: bool
) -> None:
    one = Connection(state, can_write_eof=can_write_eof)
    before = one.everything()
    CALLS[step](one.bounded)
    assert one.everything() == before
    one.bounded.lost()


@pytest.mark.parametrize("can_write_eof", [True, False], ids=["tcp", "tls"])
@pytest.mark.parametrize(("state", "step"), pairs(lambda state: set(Step) - ILLEGAL[state]))
@in_no_time
async def test_a_legal_step_leads_where_the_table_says(
    state: State, step: Step, can_write_eof: bool
) -> None:
    one = Connection(state, can_write_eof=can_write_eof)
    CALLS[step](one.bounded)
    assert one.bounded.state is TRANSITIONS[state][step] is not state
    assert one.bounded.is_closing()
    assert one.told.count("end") >= 1
    one.bounded.lost()
    assert one.bounded.state is State.LOST
    assert fake_loop().timers() == []


@pytest.mark.parametrize(
    ("steps", "closes"),
    [
        ([Step.CLOSE], True),
        ([Step.WRITE_EOF], True),
        ([Step.WRITE_EOF, Step.CLOSE], True),
        ([Step.WRITE_EOF, Step.HURRY], True),
        ([Step.LINGER], False),
        ([Step.LINGER, Step.CLOSE], False),
        ([Step.LINGER, Step.HURRY], True),
        ([Step.HURRY, Step.LINGER], False),
        ([Step.HURRY, Step.CLOSE, Step.HURRY], True),
    ],
    ids=str,
)
@in_no_time
async def test_what_closes_once_everything_is_acknowledged(steps: list[Step], closes: bool) -> None:
    one = Connection(State.OPEN)
    for step in steps:
        CALLS[step](one.bounded)
    one.transport.buffered = 0
    await asyncio.sleep(2 * LONGEST_WAIT)
    assert one.transport.names() == ["resume_reading", "write_eof", *["close"] * closes]
    one.bounded.lost()


@pytest.mark.parametrize("step", [Step.WRITE_EOF, Step.CLOSE, Step.LINGER])
@in_no_time
async def test_a_server_that_exits_closes_first_and_then_hurries(step: Step) -> None:
    one = Connection(State.OPEN)
    assert one.bounded.hurry() is False
    CALLS[step](one.bounded)
    assert one.bounded.hurry() is True
    one.transport.protocol.data_received(b"the peer sends on")  # type: ignore[attr-defined]
    one.transport.buffered = 0
    one.transport.protocol.resume_writing()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert elapsed() == 0
    assert one.transport.names() == ["resume_reading", "write_eof", "close"]
    one.bounded.lost()
