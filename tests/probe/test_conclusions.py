"""What follows from facts, without any I/O."""

from __future__ import annotations

import pytest

from asgi_keepalive.probe.conclusions import (
    Limit,
    expected,
    histogram,
    idle_limit,
    interval,
    longest_life,
    percentile,
    statistics,
    timeout_seen,
)
from asgi_keepalive.probe.facts import Ending, Facts, Rung, ServerPing, Trial, Watch
from asgi_keepalive.probe.hops import DROPPED, FORGOTTEN, IN_ORDER, default, guess, products
from asgi_keepalive.probe.ladder import goals


def watched(*times: float) -> Watch:
    return Watch(pings=[ServerPing(at, 0, b"") for at in times])


@pytest.mark.parametrize(
    ("watch", "every"),
    [
        (None, None),
        (watched(), None),
        (watched(3), None),
        (watched(1, 21), 20),
        (watched(20, 41, 60, 80), 20),
    ],
)
def test_interval(watch: Watch | None, every: float | None) -> None:
    assert interval(watch) == every


@pytest.mark.parametrize(
    ("watch", "wait"),
    [(None, None), (watched(), None), (watched(3), 3), (watched(1, 21), 20), (watched(30, 40), 30)],
)
def test_how_long_to_wait_for_a_ping(watch: Watch | None, wait: float | None) -> None:
    assert expected(watch) == wait


def test_timeout() -> None:
    facts = Facts("")
    assert timeout_seen(facts) is None
    facts.silent = Trial(9, 2, None)
    assert timeout_seen(facts) is None
    facts.silent.ending = Ending(5, "FIN")
    assert timeout_seen(facts) == 3
    facts.silent.ping_after = None
    assert timeout_seen(facts) is None


def test_round_trips() -> None:
    seen = statistics([0.1, 0.3])
    assert seen.minimum == 0.1
    assert seen.srtt == pytest.approx(0.125)  # RFC 6298 2.3
    assert seen.rttvar == pytest.approx(0.0875)
    assert statistics([]).srtt is None


def test_percentile_and_histogram() -> None:
    values = [float(i) for i in range(1, 21)]
    assert percentile(values, 0.95) == 19
    assert percentile([3.0], 0.95) == 3
    assert sum(count for *_, count in histogram(values)) == 20
    assert histogram([1.0, 2.0, 3.0], 2) == [(1, 2, 1), (2, 3, 2)]
    assert histogram([1.0, 1.0])[0][2] == 2


def test_ladder_ends_at_the_limit() -> None:
    assert goals(9, 3) == [4, 6, 9]


def lived(silence: float) -> Rung:
    return Rung(silence, silence, silence, silence, answered=True)


def cut(after: float, how: str = "FIN") -> Rung:
    return Rung(99, after, after, after, ending=Ending(after, how))


def laddered(*rungs: Rung, busy: Rung | None = None) -> Limit | None:
    return idle_limit(Facts("", round_trips=[0.1], ladder=list(rungs), busy=busy))


def test_no_limit() -> None:
    assert laddered() is None
    assert laddered(Rung(1)) is None, "it was not begun"
    assert laddered(lived(4), lived(6), busy=lived(6)) == Limit(6)


def test_limit_that_is_seen() -> None:
    found = laddered(lived(2), cut(3.01), cut(3), cut(3.02))
    assert found == Limit(3.01, 3.01, exact=True, guess=IN_ORDER)


def test_limit_within_bounds() -> None:
    lost = Rung(6, 9, 6, 6, answered=False)
    later = Rung(9, 9, 9, 9, answered=False)
    assert laddered(lived(4), lost, later) == Limit(4, 6, guess=DROPPED)
    reset = Rung(6, 6, 6, 6, answered=False, ending=Ending(6, "RST", asked=True))
    assert laddered(lived(4), reset) == Limit(4, 6, guess=FORGOTTEN)


def test_a_missing_pong_says_nothing_of_what_answers_no_ping() -> None:
    lost = Rung(6, 9, 6, 6, answered=False)
    assert idle_limit(Facts("", lost=1, ladder=[lost])) == Limit(6)


def test_limit_that_counts_only_what_the_client_sends() -> None:
    found = laddered(Rung(9, 3, 0.5, 3, ending=Ending(3, "FIN")))
    assert found == Limit(3, 3, exact=True, guess=IN_ORDER, only_own=True)


def test_the_end_of_a_busy_one_is_no_idle_limit() -> None:
    busy = Rung(0, 3, 0.2, 0.2, ending=Ending(3, "FIN"))
    facts = Facts("", ladder=[lived(2), cut(3.01)], busy=busy)
    assert longest_life(facts) == 3
    assert idle_limit(facts) == Limit(3.01)
    facts.ladder.append(cut(1))
    assert idle_limit(facts) == Limit(1, 1, exact=True, guess=IN_ORDER)
    facts.busy = lived(9)
    assert longest_life(facts) is None


@pytest.mark.parametrize(
    ("ending", "hop", "why"),
    [
        (None, "a NAT", "answers nothing"),
        (Ending(1, "RST", asked=True), "a NAT", "answered by RST"),
        (Ending(1, "RST"), "a proxy", "reset unasked"),
        (Ending(1, "ETIMEDOUT"), "a proxy", "reset unasked"),
        (Ending(1, "FIN"), "a proxy", "closed in order"),
        (Ending(1, "close_notify"), "a proxy", "closed in order"),
        (Ending(1, "FIN", 1011), "the server", "its keepalive"),
        (Ending(1, "FIN", 1001), "the server", "a Close frame came"),
        (Ending(1, "FIN", error="invalid opcode"), "the server", "had to fail"),
    ],
)
def test_guesses(ending: Ending | None, hop: str, why: str) -> None:
    guessed = guess(ending)
    assert guessed.hop.startswith(hop)
    assert why in guessed.why


def test_products() -> None:
    headers = [("Server", "nginx/1.22"), ("Via", "1.1 varnish (Varnish/7)"), ("X-A", "b")]
    assert [one.name for one in products(headers)] == ["nginx", "Varnish"]
    assert [one.name for one in products([("CF-RAY", "x")])] == ["Cloudflare"]
    assert products([("server", "uvicorn")]) == []


def test_defaults() -> None:
    assert "nginx" in str(default(60.4))
    assert default(70) is None
