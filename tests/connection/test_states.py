"""The states of a connection, as their table says."""

from __future__ import annotations

import itertools
import logging

import pytest

from asgi_keepalive.connection import Connection
from asgi_keepalive.states import TRANSITIONS, State, Step

from ..support.connection import TIMES
from ..support.fake_loop import accepted, fake_loop, in_no_time


async def in_state(state: State) -> Connection:
    """Return a connection that has been accepted, set into that state."""
    _, app = await accepted(**TIMES)
    connection: Connection = app.receive.__self__._connection
    connection.state = state
    return connection


def test_table_is_whole() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {state for steps in TRANSITIONS.values() for state in steps.values()} == {
        *(State.OPEN, State.UNKEPT, State.CLOSED, State.FAILED, State.ENDED)
    }


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Step)))
@in_no_time
async def test_each_step_in_each_state(
    state: State, step: Step, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asgi_keepalive")
    connection = await in_state(state)
    caplog.clear()
    expected = TRANSITIONS[state].get(step)
    assert connection._go(step) is (expected is not None)
    assert connection.state is (expected or state)
    if expected is None:
        known = ", ".join(one.value for one in TRANSITIONS[state])
        assert caplog.messages == [
            f"192.0.2.1:50000 /chat: {step.value}, though the connection is {state.value}; "
            f"expected: {known}"
        ]
    else:
        assert caplog.messages == []


@in_no_time
async def test_step_that_is_not_expected_changes_nothing() -> None:
    connection = await in_state(State.CLOSED)
    before = fake_loop().timers()
    connection.on_accepted()
    assert connection.state is State.CLOSED
    assert fake_loop().timers() == before
