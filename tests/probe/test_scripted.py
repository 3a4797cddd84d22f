"""What is reported of servers, proxies and NATs that do what the test says."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive.probe import client, path
from asgi_keepalive.probe import keepalive as keepalive_part

from ..support.client import CLOSE, PING, PONG, TEXT
from .conftest import Probed
from .scripted import Peer, Script, scripted

EARLY, LATE = 0.1, 0.6
"""By how much a time may be measured too short or too long on a busy machine, in seconds."""

IDLE = 0.35


def near(measured: float, configured: float) -> bool:
    return configured - EARLY < measured < configured + LATE


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait neither for heartbeats, which none of these sends, nor for a closing handshake."""
    monkeypatch.setattr(path, "FIRST_HEARTBEAT", 0.01)
    monkeypatch.setattr(client, "LEAVE", 0.1)


def names(report: Any) -> set[str]:
    return {finding["name"] for finding in report["findings"]}


def laddered(probed: Probed, script: Script) -> Any:
    with scripted(script) as port:
        status, report = probed(f"ws://127.0.0.1:{port}/", idle_limit=1.5, rungs=3, timeout=0.3)
    assert status == 1
    return report


def test_what_drops_silently(probed: Probed) -> None:
    def nat(peer: Peer) -> None:
        peer.accept()
        peer.answer(idle=0.83)
        while True:
            peer.receive()

    report = laddered(probed, nat)
    limit = report["path"]["idle_limit"]
    assert 0.66 <= limit["at_least"] < 0.83 < limit["at_most"] < 1.3
    assert not limit["exact"]
    assert limit["guess"]["why"] == "it had forgotten the connection, and answers nothing"


def test_what_resets_whom_it_has_forgotten(probed: Probed) -> None:
    def nat(peer: Peer) -> None:
        peer.accept()
        peer.answer(idle=0.83)
        peer.receive()
        peer.reset()

    report = laddered(probed, nat)
    assert report["path"]["idle_limit"]["guess"]["why"].endswith("was answered by RST")
    endings = [rung["ending"] for rung in report["path"]["ladder"]]
    assert endings[0] is None
    assert (endings[-1]["how"], endings[-1]["asked"]) == ("RST", True)


def test_what_lets_nobody_live_for_long(probed: Probed) -> None:
    def balancer(peer: Peer) -> None:
        peer.accept()
        peer.answer(life=0.8)

    report = laddered(probed, balancer)
    assert near(report["path"]["longest_life"], 0.8)
    assert "longest-life" in names(report)
    assert "idle-limit" not in names(report)


def test_what_counts_only_what_the_client_sends(probed: Probed) -> None:
    def proxy(peer: Peer) -> None:
        peer.accept()
        heard = time.monotonic()
        while time.monotonic() < heard + 2 * IDLE:
            peer.send(TEXT, b"x")
            try:
                opcode, payload = peer.receive(0.05)
            except TimeoutError:
                continue
            heard = time.monotonic()
            if opcode == PING:
                peer.send(PONG, payload)

    report = laddered(probed, proxy)
    limit = report["path"]["idle_limit"]
    assert limit["only_own"]
    assert near(limit["at_most"], 2 * IDLE)


def test_pings_behind_an_idle_limit_that_is_shorter(
    probed: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has to send something, or it would see none of them."""
    monkeypatch.setattr(keepalive_part, "ENOUGH", 2)

    def served(peer: Peer) -> None:
        peer.accept()
        last = pinged = time.monotonic()
        answered = True
        while (now := time.monotonic()) < last + IDLE:
            if now > pinged + 2 * IDLE:
                if not answered:
                    peer.send(CLOSE, (1011).to_bytes(2, "big"))
                    return
                peer.send(PING, b"ping")
                last, pinged, answered = now, now, False
            with suppress(TimeoutError):
                opcode, payload = peer.receive(0.01)
                last = time.monotonic()
                answered |= (opcode, payload) == (PONG, b"ping")
                if opcode == PING:
                    peer.send(PONG, payload)

    with scripted(served) as port:
        status, report = probed(f"ws://127.0.0.1:{port}/", watch=2, patience=1)
    assert status == 1
    assert names(report) == {"ended"}
    keepalive = report["keepalive"]
    assert near(keepalive["watched"]["earlier"]["after"], IDLE)
    assert keepalive["watched"]["between"] == keepalive["watched"]["earlier"]["after"] / 3
    assert near(keepalive["interval"], 2 * IDLE)
    assert near(keepalive["timeout"], 2 * IDLE)
    assert keepalive["wrong_pong"]["ending"]["close_code"] == 1011
    assert keepalive["unread"]["ending"]["after"] > 3 * IDLE, "it was not cut for silence"


@pytest.mark.parametrize("end", ["close", "stay", "reset", "fin"])
def test_what_ends_each_connection_at_once(probed: Probed, end: str) -> None:
    """That is no limit of silence nor of life, for which settings could be recommended."""

    def served(peer: Peer) -> None:
        peer.accept(then=b"\x88\0" if end in ("close", "stay") else b"")
        if end == "close":
            peer.answer()
        elif end == "stay":
            while True:
                peer.receive()
        elif end == "reset":
            time.sleep(0.02)
            peer.reset()
        else:  # what comes later is read, as it would be answered by a RST
            peer.socket.shutdown(socket.SHUT_WR)
            peer.answer()

    with scripted(served) as port:
        status, report = probed(f"ws://127.0.0.1:{port}/", "--send", "hello", idle_limit=0.6)
    assert status == 1
    assert names(report) == {"ended"}
    assert report["recommendation"]["ping_interval"] == 20
    assert report["recommendation"]["changes"] == []
    assert report["keepalive"]["watched"]["seconds"] < 0.5
    assert report["keepalive"]["watched"]["earlier"] is None, "it was not silent for too long"
    ending = report["keepalive"]["watched"]["ending"]
    assert (ending["how"], ending["close_code"]) == {
        "close": ("FIN", 1005),
        "stay": ("open", 1005),
        "reset": ("RST", None),
        "fin": ("FIN", None),
    }[end]


def test_tcp_that_stays_open_after_a_close_frame(probed: Probed) -> None:
    def served(peer: Peer) -> None:
        peer.accept()
        peer.answer(life=0.1)
        with suppress(TimeoutError):
            while True:
                peer.send(PING, b"")
                while peer.receive(0.2)[0] != PONG:
                    pass
                time.sleep(0.1)
        peer.send(CLOSE, (1011).to_bytes(2, "big") + b"late")
        while True:
            peer.receive()

    with scripted(served) as port:
        _, report = probed(f"ws://127.0.0.1:{port}/")
    ending = report["keepalive"]["silent"]["ending"]
    assert (ending["how"], ending["close_code"], ending["close_reason"]) == ("open", 1011, "late")
    assert near(report["keepalive"]["timeout"], 0.2)


def test_what_breaks_the_protocol(probed: Probed) -> None:
    def served(peer: Peer) -> None:
        peer.accept()
        peer.socket.sendall(b"\x83\0")
        peer.answer()

    with scripted(served) as port:
        _, report = probed(f"ws://127.0.0.1:{port}/")
    assert report["keepalive"]["watched"]["ending"]["error"] == "invalid opcode"


def test_what_answers_no_ping_and_keeps_whom_it_streams_to(probed: Probed) -> None:
    def served(peer: Peer) -> None:
        peer.accept()
        while True:
            peer.socket.sendall(b"\x82\x7e\x40\0" + bytes(0x4000))

    with scripted(served) as port:
        status, report = probed(f"ws://127.0.0.1:{port}/", timeout=0.3)
    assert status == 1
    assert names(report) == {"no-pong", "no-ping", "unread"}
    assert report["keepalive"]["watched"]["messages"] > 0
    assert report["keepalive"]["unread"]["unread"] > 4096


def test_predictable_pings_that_any_pong_satisfies(probed: Probed) -> None:
    def served(peer: Peer) -> None:
        peer.accept()
        for number in range(1000):
            peer.send(PING, b"%d" % number)
            if number == 1:
                peer.send(PING, b"again")
            peer.receive(0.2)
            time.sleep(0.05)

    with scripted(served) as port:
        status, report = probed(f"ws://127.0.0.1:{port}/", timeout=0.3, watch=1)
    assert status == 1
    assert names(report) == {"no-pong", "wrong-pong"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\n\r\n", "the response is HTTP/1.1 404"),
        (b"HTTP/1.1 abc\r\n\r\n", "no HTTP comes"),
        (b"220 mail ESMTP\r\n", "no HTTP comes; perhaps it wants TLS, wss:// instead of ws://"),
        (b"H", "FIN before a response had come"),
        (b"HTTP/" + b"x" * 100_000, "the head of the response has no end"),
        (b"HTTP/1.1 101 X\r\n\r\n", "missing Connection header"),
        (b"HTTP/1.0 101 X\r\n\r\n", "HTTP/1.0"),
        (b"", "FIN before a response had come"),
    ],
)
def test_what_does_not_upgrade(probed: Probed, answer: bytes, reason: str) -> None:
    def served(peer: Peer) -> None:
        peer.read_request()
        peer.socket.sendall(answer)
        peer.socket.shutdown(socket.SHUT_WR)
        peer.receive()

    with scripted(served) as port:
        status, report = probed(f"ws://127.0.0.1:{port}/")
    assert status == 1
    assert names(report) == {"unreachable"}
    assert reason in report["handshake"]["error"]
    assert (report["advice"] is None) == (report["handshake"]["status"] is None)


def test_what_never_answers(probed: Probed) -> None:
    with scripted(lambda peer: peer.answer()) as port:
        _, report = probed(f"ws://127.0.0.1:{port}/", timeout=0.2)
    assert report["handshake"]["error"] == "upgrade: nothing came within 0.2 s"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ws://nowhere.invalid/", "DNS: "),
        ("ws://127.0.0.1:1/", "TCP: Connection refused"),
        (f"ws://{'a' * 70}.example/", "DNS: "),
    ],
)
def test_what_cannot_be_reached(probed: Probed, url: str, reason: str) -> None:
    status, report = probed(url)
    assert status == 1
    assert report["handshake"]["error"].startswith(reason)


def test_ipv6_headers_and_subprotocols(probed: Probed) -> None:
    requests = []

    def served(peer: Peer) -> None:
        peer.accept("Sec-WebSocket-Protocol: b", "Via: 1.1 varnish", "X-Served-By: me")
        requests.append(peer.request.decode())
        peer.answer()

    headers = "-H", "Host: example.com", "-H", "Cookie: a=b", "-H", "Authorization: Bearer x"
    subprotocols = "--subprotocol", "a", "--subprotocol", "b"
    with scripted(served, "::1") as port:
        _, report = probed(f"ws://me:secret@[::1]:{port}/p?q=1", *headers, *subprotocols, watch=0.1)
    assert report["url"] == f"ws://[::1]:{port}/p?q=1"
    assert report["handshake"]["address"] == f"[::1]:{port}"
    assert report["handshake"]["subprotocol"] == "b"
    assert report["handshake"]["headers"] == [["Via", "1.1 varnish"], ["X-Served-By", "me"]]
    request = requests[0]
    assert request.startswith("GET /p?q=1 HTTP/1.1\r\n")
    assert request.count("Host:") == 1
    assert "Host: example.com\r\n" in request
    assert "Cookie: a=b\r\n" in request
    assert request.count("Authorization:") == request.count("Authorization: Bearer x\r\n") == 1
    assert "Sec-WebSocket-Protocol: a, b\r\n" in request
    assert "?q=1&asgi-keepalive=" in requests[1]


def test_what_refuses_later_connections(probed: Probed) -> None:
    count = 0

    def served(peer: Peer) -> None:
        nonlocal count
        count += 1
        if count > 1:
            peer.read_request()
            peer.socket.sendall(b"HTTP/1.1 429 Too Many\r\n\r\n")
            return
        peer.accept()
        peer.answer()

    with scripted(served) as port:
        status, report = probed(f"ws://127.0.0.1:{port}/", idle_limit=0.2)
    assert status == 1
    reason = "upgrade: the response is HTTP/1.1 429"
    assert report["refused"] == {"heartbeats": reason, "watch": reason, "ladder": reason}


def test_what_allows_few_connections(probed: Probed) -> None:
    """One connection of the ladder is refused, and the others go on."""
    lock = threading.Lock()
    count = 0

    def served(peer: Peer) -> None:
        nonlocal count
        with lock:
            count += 1
            allowed = count <= 3
        try:
            if not allowed:
                peer.read_request()
                peer.socket.sendall(b"HTTP/1.1 429 Too Many\r\n\r\n")
                return
            peer.accept()
            peer.answer()
        finally:
            with lock:
                count -= 1

    with scripted(served) as port:
        _, report = probed(f"ws://127.0.0.1:{port}/", watch=0.1, idle_limit=0.5, parallel=1)
    assert report["refused"] == {"ladder": "upgrade: the response is HTTP/1.1 429"}
    assert names(report) == {"no-ping", "refused"}
    ladder = [*report["path"]["ladder"], report["path"]["busy"]]
    assert sum(rung["life"] >= rung["goal"] > 0 for rung in ladder) >= 2


def test_silence_ends_with_a_close_frame(probed: Probed) -> None:
    def served(peer: Peer) -> None:
        peer.accept()
        peer.answer(idle=IDLE)
        peer.send(CLOSE, (1001).to_bytes(2, "big"))
        while True:
            peer.receive()

    report = laddered(probed, served)
    limit = report["path"]["idle_limit"]
    assert near(limit["at_least"], IDLE)
    assert limit["exact"]
    assert "idle-limit" in names(report)


def test_pongs_that_are_late_behind_messages(probed: Probed) -> None:
    """They say nothing of a connection that was forgotten."""
    count = 0

    def served(peer: Peer) -> None:
        nonlocal count
        peer.accept()
        while True:
            with suppress(TimeoutError):
                opcode, payload = peer.receive(0.02)
                if opcode == PING and not count:
                    count += 1
                    peer.send(PONG, payload)
            peer.send(TEXT, b"x")

    report = laddered(probed, served)
    assert report["path"]["idle_limit"]["at_most"] is None
    assert names(report) >= {"no-pong"}
    assert "idle-limit" not in names(report)


def test_message_to_begin_with(probed: Probed) -> None:
    received = []

    def served(peer: Peer) -> None:
        peer.accept()
        received.append(peer.receive())
        peer.answer()

    with scripted(served) as port:
        probed(f"ws://127.0.0.1:{port}/", "--send", "hello", watch=0.1)
    assert set(received) == {(TEXT, b"hello")}
