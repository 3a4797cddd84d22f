"""The states of a connection.

    CONNECTING --accepted--> OPEN --failed--> FAILED
        |                     |  \\--refused--> UNKEPT
        |                     \\-----------------+--ended--> ENDED
        \\------ closing ------+-----------------/-----> CLOSED

The table below has all transitions. A step that a state does not know changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    """The state of a connection, and what it means."""

    CONNECTING = "not accepted yet"
    OPEN = "kept alive"
    UNKEPT = "open, but its Pings are refused"
    CLOSED = "closing or lost"
    FAILED = "failed, as a Pong was overdue or could not be asked for"
    ENDED = "ended as planned"


class Step(Enum):
    """An event that may change the state."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAILED = "failed"
    ENDED = "ended"
    CLOSING = "closing"


TRANSITIONS: Mapping[State, Mapping[Step, State]] = {
    State.CONNECTING: {Step.ACCEPTED: State.OPEN, Step.CLOSING: State.CLOSED},
    State.OPEN: {
        Step.REFUSED: State.UNKEPT,
        Step.FAILED: State.FAILED,
        Step.ENDED: State.ENDED,
        Step.CLOSING: State.CLOSED,
    },
    State.UNKEPT: {Step.ENDED: State.ENDED, Step.CLOSING: State.CLOSED},
    # The end may be told more than once: by the server, by a call, at the application's return.
    State.CLOSED: {Step.CLOSING: State.CLOSED},
    State.FAILED: {Step.CLOSING: State.FAILED},
    State.ENDED: {Step.CLOSING: State.ENDED},
}

OPEN = State.OPEN
LIVING = frozenset({State.CONNECTING, State.OPEN, State.UNKEPT})
"""The states of a connection that nobody has begun to close."""
