"""The checks catch a server's fault in the box that it belongs to, and in no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from asgi_keepalive.conformance.application import app
from asgi_keepalive.conformance.outcomes import FAIL, Outcome
from asgi_keepalive.conformance.page import LEVELS, level_of
from asgi_keepalive.conformance.running import Result

from ..levels import page_server
from ..levels.page_levels import Declaring
from ..levels.serving import PageServer
from .exiting import EXITING
from .mutants import MUTANTS, Mutant
from .serving import checked, started
from .subtle import SUBTLE

AT_ONCE = 5


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers with a fault not wait long for what will never end."""
    monkeypatch.setattr(page_server, "CLOSE_TIMEOUT", 2.0)


def check(mutant: Mutant, level: int = max(LEVELS)) -> Result:
    server = PageServer(app, level, mutant.connection, mutant.loop, mutant.keepalive)
    with started(server):
        # What is above the fault's level takes most of the time.
        highest = max(2, *map(level_of, mutant.boxes)) if mutant.boxes else level
        return checked(server, keepalive=mutant.keepalive, highest=highest)


def failed(result: Result) -> dict[str, Outcome]:
    return {box: one for box, one in result.boxes.items() if one.status == FAIL}


@pytest.mark.parametrize("level", LEVELS)
def test_faults_are_seen_where_they_are(level: int) -> None:
    """Most of the time the checks wait, so some servers are checked at once."""
    mutants = [one for one in (*MUTANTS, *SUBTLE, *EXITING) if level_of(min(one.boxes)) == level]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(check, mutants))
    wrong = {
        mutant.connection.__name__: failed(result)
        for mutant, result in zip(mutants, results, strict=True)
        if failed(result).keys() != mutant.boxes
    }
    assert wrong == {}


@pytest.mark.parametrize("level", LEVELS)
def test_server_without_a_fault_reaches_its_level(level: int) -> None:
    result = check(Mutant(Declaring, set(), keepalive=0.4), level)
    assert failed(result) == {}
    assert result.level == level
