"""Whatever bytes come, the middleware changes nothing but what it is there for (P7)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ...support.timeouts import FAILED, INTERVAL, TIMEOUT
from .comparison import Pair, explore
from .conftest import Staged
from .difference import close_frame, is_disconnect
from .performance import perform
from .play import CLOSE_TIMEOUT, Outcome, Play
from .plays import mutations, streams
from .wire import CLOSE

# A plain gunicorn ends TCP only with its application, so each play there takes all of its patience.
pytestmark = pytest.mark.timeout(180)


def test_frames(pair: Pair) -> None:
    explore(pair.compare, streams, 40)


def test_mutated_bytes(pair: Pair) -> None:
    explore(pair.compare, mutations, 40)


def test_silence_after_any_stream(stage: Staged) -> None:
    """P1: a peer that falls silent, in the middle of whatever, is failed."""
    patience = INTERVAL + TIMEOUT + CLOSE_TIMEOUT + 1
    behind = stage("behind", ping_interval=INTERVAL, ping_timeout=TIMEOUT)
    plain = stage("plain")

    def check(play: Play) -> None:
        moves = tuple(move for move in play.moves[:-1] if move.what != "pong")
        silent = replace(play, moves=moves, answers="never", patience=patience)
        expected = perform(plain, replace(silent, patience=0.3))
        del expected.frames[expected.in_time :]  # hypercorn says 1011 when its application returns
        found = perform(behind, silent)
        if close_frame(expected) is not None or expected.end != ("nothing", "ever"):
            assert ended(found)
            assert FAILED not in events(found)
        else:
            assert found.frames == [*expected.frames, (CLOSE, b"\x03\xf3keepalive ping timeout")]
            assert events(found) == [*messages(expected), FAILED, FAILED]

    explore(check, streams.filter(lambda play: play.moves[2].what == "listen"), 6)


def events(outcome: Outcome) -> list[Any]:
    return [result for what, result, _ in outcome.told if what == "receive"]


def messages(outcome: Outcome) -> list[Any]:
    return [one for one in events(outcome) if one != "waits"]


def ended(outcome: Outcome) -> bool:
    return any(map(is_disconnect, events(outcome)))
