"""What a client chooses can neither forge a line of the log nor fill it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, log
from asgi_keepalive.log import client, failed, name, path
from asgi_keepalive.scopes import find_keepalive
from asgi_keepalive.text import LONGEST, shown
from asgi_keepalive.verdict import judge

from .conftest import Serve
from .support.applications import echo
from .support.client import Client
from .support.fake_loop import accepted, in_no_time
from .support.server import wait_until

FORGED = "1.2.3.4:5 /admin: keepalive ping timeout\r\nroot\x1b[2J\x9b\u2028"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (("192.0.2.1", 50000), "192.0.2.1:50000"),
        (["2001:db8::1", 1, 0, 0], "2001:db8::1:1"),
        (("[2001:db8::1]", 1), "[2001:db8::1]:1"),
        (("fe80::1%eth0", 1), "fe80::1%eth0:1"),
        (("unknown client", 0), "unknown%20client:0"),
        (("\udc80", 0), "%5Cudc80:0"),
        (None, "unknown client"),
    ],
)
def test_client(address: Any, shown: str) -> None:
    assert client({"client": address}) == shown


def test_forged_line() -> None:
    said = name({"client": (FORGED, 0), "path": FORGED})
    assert said.isascii()
    assert said.isprintable()
    assert said.count(" ") == 1
    assert said.startswith("1.2.3.4:5%20%2Fadmin:%20keepalive%20ping%20timeout%0D%0Aroot%1B[2J")


@pytest.mark.parametrize("character", ["x", "/", " ", "\n", "\xe9", "\U0001f600", "\udc80"])
def test_length(character: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asgi_keepalive")
    scope = {"client": (character * 50_000, 1), "path": character * 50_000}
    failed(scope, judge({}, waited=1, timeout=1, paused=0, stalled=0), None)
    [record] = caplog.records
    assert len(record.getMessage()) < 2 * LONGEST + 200
    kept = record.keepalive  # type: ignore[attr-defined]
    assert len(kept["client"]) == len(kept["path"]) == LONGEST
    assert kept["path"] == character * (LONGEST - 3) + "..."


def test_little_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take longer than all else that there is to do about a connection."""

    def quote(text: str, *args: Any, **keys: Any) -> str:
        assert len(text) <= LONGEST
        return text

    monkeypatch.setattr(log, "quote", quote)
    name({"client": ("\n" * 50_000, 1), "path": "\n" * 50_000})


class Unspeakable:
    def __repr__(self) -> str:
        raise KeyError


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.5, "0.5"),
        ("a\n", r"'a\n'"),
        ("a" * 50_000, f"'{'a' * (LONGEST - 4)}..."),
        (10**5000, "<int object at 0x"),  # Python writes no int of so many digits
        (Unspeakable(), f"<{__name__}.Unspeakable object at 0x"),
    ],
    ids=["short", "line", "long", "int", "object"],
)
def test_value_that_is_refused(value: object, said: str) -> None:
    assert shown(value).startswith(said)
    assert len(shown(value)) <= LONGEST


@pytest.mark.parametrize("value", ["a" * 50_000, 10**5000], ids=["text", "int"])
@in_no_time
async def test_wherever_it_is_refused(value: Any, caplog: pytest.LogCaptureFixture) -> None:
    _, app = await accepted()
    with pytest.raises((TypeError, ValueError), match="ping_interval must be") as raised:
        app.keepalive.configure(ping_interval=value)
    assert len(str(raised.value)) < LONGEST + 100
    with pytest.raises(TypeError, match="the place of KeepaliveMiddleware") as taken:
        find_keepalive({"state": {"keepalive": value}})
    assert len(str(taken.value)) < LONGEST + 100
    refused: list[Any] = [10**5000, [value]]
    for observers in refused:
        with pytest.raises(TypeError, match="observers must be"):
            KeepaliveMiddleware(app, observers=observers)
    assert max(len(record.getMessage()) for record in caplog.records) < LONGEST + 100


def test_no_longer_than_it_must_be() -> None:
    assert path({"path": "x" * LONGEST}) == "x" * LONGEST
    assert path({}) == ""


def test_address_that_a_proxy_tells(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["client"] = (FORGED, 0)  # as does what trusts X-Forwarded-For
        await echo(scope, receive, send)

    server = serve(app)
    with Client(server.port, path="/" + 1000 * "%0A").open() as peer:
        peer.until_end()

    def lines() -> list[str]:
        return [record.getMessage() for record in server.records if "no Pong" in record.msg]

    wait_until(lines)
    [said] = lines()
    assert said.startswith("1.2.3.4:5%20%2Fadmin:%20keepalive")
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 2 * LONGEST + 200
