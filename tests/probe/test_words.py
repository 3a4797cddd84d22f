"""The findings, the recommendation and the report of given facts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_keepalive.probe.facts import (
    Ending,
    Facts,
    Handshake,
    Heartbeats,
    Rung,
    ServerPing,
    Trial,
    Watch,
)
from asgi_keepalive.probe.findings import findings
from asgi_keepalive.probe.path import heartbeat
from asgi_keepalive.probe.recommendation import nice, recommend
from asgi_keepalive.probe.structured import structured
from asgi_keepalive.probe.telling import sections
from asgi_keepalive.probe.wording import ended, seconds

PINGS = [ServerPing(20.0 * i, 0, b"") for i in (1, 2, 3)]
CLOSED = Ending(40, "FIN", 1011, "keepalive ping timeout")


def good() -> Facts:
    """Return the facts of an endpoint at which nothing is wrong."""
    return Facts(
        "ws://a/",
        handshake=Handshake("1.2.3.4:80", 0.1, 0.02, None, 0.03, None, "HTTP/1.1", 101),
        heartbeats=Heartbeats(20, None),
        round_trips=[0.02, 0.03, 0.02],
        watch=Watch(60, PINGS),
        silent=Trial(40, 20, CLOSED),
        wrong=Trial(40, 20, CLOSED),
        unread=Trial(40, None, Ending(40, "RST"), 100),
        ladder=[Rung(80, 80, 20, 20, 3, answered=True), Rung(120)],
        busy=Rung(0, 120, 1, 1),
    )


def changed(**facts: Any) -> Facts:
    changed = good()
    for name, value in facts.items():
        setattr(changed, name, value)
    return changed


def report(facts: Facts) -> str:
    """Return the text of a report, and see that there is one for programs."""
    json.loads(structured(facts))
    return "\n".join(
        f"{section.title} {label}: {text}"
        for section in sections(facts)
        for label, text in section.lines
    )


CUT = [Rung(9, 30, 30, 30, ending=Ending(30, "FIN"))]
ENDED = Ending(3, "FIN")
ASKED = Ending(90, "FIN", asked=True)


@pytest.mark.parametrize(
    ("facts", "name", "text"),
    [
        ({"handshake": Handshake(error="DNS: no")}, "unreachable", "No connection: DNS: no."),
        ({"lost": 1}, "no-pong", "A Ping of the client was not answered."),
        (
            {"silent": Trial(80, 20, None)},
            "no-timeout",
            "A client that answers no Ping was still connected 60 s after the first.",
        ),
        (
            {"wrong": Trial(80, 20, None)},
            "wrong-pong",
            "A Pong with another payload satisfies the server.",
        ),
        (
            {"unread": Trial(80, None, None, 5)},
            "unread",
            "A client that reads nothing was kept for 80 s or longer.",
        ),
        (
            {"watch": Watch(60, PINGS, ending=ENDED)},
            "ended",
            "A client that behaved well was ended after 3 s: FIN without a Close frame.",
        ),
        (
            {"watch": Watch(60, PINGS, between=1, earlier=ENDED)},
            "ended",
            "A silent client was ended after 3 s: FIN without a Close frame.",
        ),
        (
            {"watch": Watch(60), "heartbeats": None, "silent": None, "interrupted": True},
            "no-ping",
            "The server sends no Pings, or none within 60 s: it cannot notice a client that has"
            " vanished.",
        ),
        (
            {"busy": Rung(0, 30, 1, 1, ending=Ending(30, "FIN"))},
            "longest-life",
            "A connection that sent Pings all the time was ended after 30 s.",
        ),
        (
            {"ladder": CUT},
            "idle-limit",
            "A connection is cut after 30 s of silence, and the server pings only every 20 s.",
        ),
        (
            {"ladder": [Rung(9, 60, 60, 60, ending=Ending(60, "FIN"))]},
            "idle-limit",
            "A connection is cut after 60 s of silence.",
        ),
        (
            {"ladder": CUT, "watch": None},
            "idle-limit",
            "A connection is cut after 30 s of silence, and no Ping keeps it in use.",
        ),
        (
            {"ladder": [Rung(9, 30, 1, 30, ending=ENDED)]},
            "idle-limit",
            "A connection is cut after 30 s in which the client sends nothing, and the server pings"
            " only every 20 s.",
        ),
        (
            {"ladder": [Rung(9, 30, 30, 30, answered=False)], "watch": None},
            "idle-limit",
            "A connection is lost after between 0 s and 30 s of silence, and no Ping keeps it in"
            " use.",
        ),
        (
            {"refused": {"watch": "TCP: no", "heartbeats": "upgrade: 403"}},
            "refused",
            "A later connection (watch) was not made: TCP: no.",
        ),
    ],
)
def test_findings(facts: dict[str, Any], name: str, text: str) -> None:
    bad = changed(**facts)
    [finding] = findings(bad)
    assert (finding.name, finding.text) == (name, text)
    assert f"Verdict finding: {text}" in report(bad)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"watch": None, "silent": None, "wrong": None, "unread": None},
        {"watch": Watch(5)},  # pages are told of 20 s
        {"watch": Watch(60, cut_short=True), "heartbeats": None, "interrupted": True},
        {"silent": Trial(65, None, None)},
        {"wrong": Trial(65, None, None)},
    ],
)
def test_nothing_found(facts: dict[str, Any]) -> None:
    assert findings(changed(**facts)) == []
    recommended = recommend(changed(**facts))
    assert recommended is not None
    assert recommended.changes == []


def test_report_of_what_is_good() -> None:
    text = report(good())
    for line in (
        "Handshake times: DNS 100 ms, TCP 20 ms, upgrade 30 ms",
        "Handshake response: HTTP/1.1 101",
        "Handshake for pages: heartbeats; ping_interval is 20 s, ping_timeout is None",
        "Keepalive of the server Pings: every 20 s (20 s to 20 s, 3 Pings)",
        "Keepalive of the server payloads: empty; a client could answer without reading",
        "Keepalive of the server answers nothing: Close frame 1011 (keepalive ping timeout), then"
        " FIN, after 40 s, 20 s after the first Ping",
        "Keepalive of the server wrong Pong: does not satisfy it: Close frame 1011",
        "Keepalive of the server reads nothing: RST without a Close frame, after 40 s; 100 bytes",
        "Path silence: up to 80 s: the connection lived; 3 Pings answered, longest silence 20 s",
        "Path idle limit: none seen: 20 s of silence were survived; the server's Pings allow of",
        "Path longest life: not seen: 120 s of use were survived",
        "Verdict : So a dead client is noticed within 40 s.",
        "Verdict : Nothing was found that needs a change.",
        "Recommendation : KeepaliveMiddleware(app, ping_interval=20, ping_timeout=20)",
    ):
        assert line in text
    assert "120 s: " not in text, "a rung that was not begun"


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"interrupted": True}, "Verdict : Nothing was found by then that needs a change."),
        ({"interrupted": True}, "Verdict : The probe was interrupted; this is what was known by"),
        ({"watch": Watch(60, PINGS[:1])}, "Pings: one within 60 s, after 20 s; a longer --watch"),
        ({"silent": Trial(65, None, None)}, "answers nothing: no Ping came; still connected aft"),
        ({"watch": Watch(60, PINGS, 7)}, "messages: 7 within 60 s"),
        (
            {"watch": Watch(60, PINGS, 0, CLOSED)},
            "ended: Close frame 1011 (keepalive ping timeout)",
        ),
        (
            {"watch": Watch(60, PINGS, between=1, earlier=ENDED)},
            "own Pings: every 1 s, since without them: FIN without a Close frame, after 3 s",
        ),
        ({"silent": Trial(60, 20, None)}, "wrong Pong: not tried, as a missing one has no conse"),
        ({"wrong": Trial(60, 20, None)}, "wrong Pong: satisfies it: still connected after 60 s"),
        ({"wrong": Trial(60, None, None)}, "wrong Pong: no Ping came; still connected after 60 s"),
        ({"ladder": CUT}, "silence: up to 9 s: FIN without a Close frame, after 30 s"),
        ({"ladder": CUT}, "idle limit: A connection is cut after 30 s of silence; perhaps by a pr"),
        ({"ladder": [Rung(9, 9, 5, 5, 1, True)]}, "up to 9 s: the connection lived; a Ping answ"),
        ({"ladder": [Rung(9, 5, 5, 5)]}, "silence: up to 9 s: still connected after 5 s"),
        (
            {"ladder": [Rung(9, 19, 9, 9, answered=False)]},
            "silence: up to 9 s: a Ping was not answered any more",
        ),
        (
            {"ladder": [Rung(9, 9, 9, 9, answered=False, ending=Ending(9, "RST", asked=True))]},
            "up to 9 s: RST without a Close frame, after 9 s, in answer to a Ping",
        ),
        ({"ladder": [Rung(9, 9, 9, 9, 0, True)]}, "idle limit: none seen: 9 s of silence were sur"),
        ({"ladder": [Rung(9, 9, 0.1, 9, 0, True)]}, "idle limit: not seen: no silence was longer"),
        ({"busy": CUT[0]}, "Path longest life: 30 s"),
        ({"busy": Rung(9, 0.1, ending=Ending(0.1, "FIN"))}, "longest life: none: it is ended at"),
        ({"heartbeats": None}, "for pages: no heartbeats"),
        ({"heartbeats": None, "refused": {"heartbeats": "no"}}, "for pages: no"),
        (
            {"handshake": Handshake(status=404, http="HTTP/1.1", error="x", tls_version="TLSv1.3")},
            "Handshake response: HTTP/1.1 404 over TLSv1.3",
        ),
        (
            {"handshake": Handshake(status=404, http="HTTP/1.1", error="x")},
            "Recommendation : Is the path right? Do all proxies pass upgrades on? https",
        ),
        (
            {"handshake": Handshake(status=400, http="HTTP/1.1", error="x")},
            "Recommendation : Do all proxies pass upgrades on? https",
        ),
        (
            {"handshake": Handshake(status=403, http="HTTP/1.1", error="x")},
            "Recommendation : The server refuses this client",
        ),
        (
            {"handshake": Handshake(status=302, http="HTTP/1.1", error="x")},
            "Recommendation : The server sends clients elsewhere: probe where Location leads",
        ),
        (
            {"handshake": Handshake(status=101, headers=[("Server", "\x1b[31m")])},
            "Handshake it says: Server: \N{REPLACEMENT CHARACTER}[31m",
        ),
    ],
)
def test_lines(facts: dict[str, Any], line: str) -> None:
    assert line in report(changed(**facts))


def test_what_ends_good_clients_as_well_is_no_answer_to_bad_ones() -> None:
    facts = changed(busy=Rung(0, 40, 1, 1, ending=Ending(41, "FIN", 1011)))
    text = report(facts)
    assert json.loads(structured(facts))["keepalive"]["timeout"] is None
    assert "It ends a connection" not in text
    for label in "answers nothing", "wrong Pong":
        line = "Close frame 1011 (keepalive ping timeout), then FIN, after 40 s, as a client that"
        assert f"{label}: {line} behaves well" in text
    assert "reads nothing: RST without a Close frame, after 40 s; 100" in text


def test_report_of_what_was_interrupted_at_once() -> None:
    facts = Facts("ws://a/", Handshake("1.2.3.4:80"), interrupted=True)
    assert report(facts).splitlines() == [
        "Handshake address: 1.2.3.4:80",
        "Verdict : The probe was interrupted; this is what was known by then.",
        "Verdict : Nothing was found by then that needs a change.",
    ]


def test_report_of_what_cannot_be_reached() -> None:
    facts = Facts("ws://a/", Handshake(error="DNS: no"))
    assert report(facts) == "Verdict finding: No connection: DNS: no."


@pytest.mark.parametrize(
    ("facts", "interval", "timeout", "change"),
    [
        ({}, 20, 20, None),
        ({"round_trips": []}, 20, 20, None),
        ({"round_trips": [0.001] * 9}, 20, 5, None),
        ({"round_trips": [0.5]}, 20, 30, None),
        ({"round_trips": [3.0]}, 20, 60, None),
        ({"watch": None, "ladder": []}, 20, 20, None),
        (
            {"watch": Watch(60), "heartbeats": None, "ladder": []},
            *(20, 20, "Let the server ping: "),
        ),
        ({"watch": Watch(99, [ServerPing(45, 0, b"")])}, 20, 20, None),
        ({"watch": Watch(99, [ServerPing(at, 0, b"") for at in (1, 1.512)])}, 0.5, 20, None),
        ({"ladder": CUT}, 15, 20, "Let the server ping more often, with these settings."),
        ({"ladder": CUT}, 15, 20, "perhaps HAProxy (timeout tunnel), "),
        ({"ladder": CUT}, 15, 20, "30 s is the default of Google Cloud's load balancer."),
        ({"ladder": [Rung(9, 3, 3, 3, ending=ENDED)]}, 1.5, 2.7, "its limit is about 3 s;"),
        ({"ladder": [Rung(9, 30, 30, 30, ending=CLOSED)]}, 15, 20, "The server itself ends silent"),
        ({"ladder": [Rung(9, 90, 90, 90, answered=False)]}, 20, 20, None),
        ({"ladder": [Rung(9, 0.06, 0.06, 0.06, ending=ENDED)]}, 0.1, 0.054, "more often"),
        ({"watch": Watch(9, [ServerPing(1, 0, b"")] * 4)}, 20, 20, None),
        ({"busy": Rung(9, 9, ending=CLOSED)}, 20, 20, "may have waited for a message"),
        ({"busy": CUT[0]}, 20, 20, "limits-that-no-ping-can-help"),
    ],
)
def test_recommendations(
    facts: dict[str, Any], interval: float, timeout: float, change: str | None
) -> None:
    recommended = recommend(changed(**facts))
    assert recommended is not None
    assert (recommended.ping_interval, recommended.ping_timeout) == (interval, timeout)
    if change is None:
        assert recommended.changes == []
    else:
        assert any(change in one for one in recommended.changes)


def test_a_proxy_that_names_itself() -> None:
    facts = changed(ladder=CUT)
    facts.handshake.headers.append(("Server", "nginx"))
    recommended = recommend(facts)
    assert recommended is not None
    [_, change, _] = recommended.changes
    assert change.startswith("nginx: proxy_read_timeout is about 30 s; with Pings it need not be")
    assert change.endswith("/deployment.html#nginx")


def test_a_limit_between_two_bounds_is_nobodys_default() -> None:
    rungs = [Rung(60, 60, 60, 60, 0, True), Rung(90, 90, 90, 90, 0, False, ASKED)]
    recommended = recommend(changed(ladder=rungs))
    assert recommended is not None
    [change] = recommended.changes
    assert "its limit is between 60 s and 90 s; " in change


def test_a_proxy_that_has_no_setting() -> None:
    facts = changed(ladder=CUT)
    facts.handshake.headers.append(("Server", "cloudflare"))
    recommended = recommend(facts)
    assert recommended is not None
    assert recommended.changes[1].startswith(
        "Cloudflare: the limit, for which there is no setting, is about 30 s;"
    )


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ('{"interval": 20, "timeout": null}', Heartbeats(20, None)),
        ('{"interval": "20", "timeout": NaN}', Heartbeats(None, None)),
        ("{}", Heartbeats(None, None)),
        ("{nonsense}", None),
        ("nonsense", None),
    ],
)
def test_heartbeats(told: str, found: Heartbeats | None) -> None:
    assert heartbeat("nonce", f"nonce{told}".encode()) == found


@pytest.mark.parametrize(
    ("value", "rounded"), [(50, 50), (17.2, 15), (14.9, 14), (4.7, 4), (1.49, 1.4), (0.15, 0.15)]
)
def test_nice_numbers(value: float, rounded: float) -> None:
    assert nice(value) == pytest.approx(rounded)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (0.0000123, "12 µs"),
        (0.0123, "12.3 ms"),
        (1.5, "1.5 s"),
        (123.4, "123 s"),
        (0.99996, "1 s"),
        (99.97, "100 s"),
        (0.00099996, "1 ms"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (Ending(1, "RST"), "RST without a Close frame"),
        (Ending(1, "close_notify"), "only TLS is closed without a Close frame"),
        (Ending(1, "open", 1000), "Close frame 1000, then TCP stays open"),
        (Ending(1, "FIN", 1005), "Close frame without a code, then FIN"),
        (
            Ending(1, "FIN", error="invalid opcode"),
            "the client had to fail the connection (invalid opcode), then FIN",
        ),
    ],
)
def test_endings(ending: Ending, text: str) -> None:
    assert ended(ending).startswith(text)
