from __future__ import annotations

import re
from pathlib import Path

import pytest

from asgi_keepalive.probe.target import (
    Target,
    parse_header,
    parse_subprotocol,
    parse_url,
    tls_context,
)


@pytest.mark.parametrize(
    ("url", "host", "port", "resource"),
    [
        ("ws://example.com", "example.com", 80, "/"),
        ("wss://example.com/a/b?c=d&e", "example.com", 443, "/a/b?c=d&e"),
        ("ws://[::1]:8000/ws", "::1", 8000, "/ws"),
        ("WSS://127.0.0.1:1/", "127.0.0.1", 1, "/"),
        ("ws://example.com/ü", "example.com", 80, "/%C3%BC"),
    ],
)
def test_urls(url: str, host: str, port: int, resource: str) -> None:
    uri = parse_url(url)
    assert (uri.host, uri.port, uri.resource_name) == (host, port, resource)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com", "scheme isn't ws or wss"),
        ("example.com", "scheme isn't ws or wss"),
        ("", "scheme isn't ws or wss"),
        ("ws://", "hostname isn't provided"),
        ("ws://example.com/#x", "fragment identifier is meaningless"),
        ("ws://example.com:99999/", "Port out of range 0-65535"),
        ("ws://example.com:x/", "Port could not be cast to integer value as 'x'"),
        ("ws://[::1/", "Invalid IPv6 URL"),
        ("ws://example.com/a b", "has a space or a control character in it"),
        ("ws://example.com/\n", "has a space or a control character in it"),
    ],
)
def test_bad_urls(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_url(url)


def test_headers() -> None:
    assert parse_header("Cookie: a=b; c") == ("Cookie", "a=b; c")
    assert parse_header("X-Empty:") == ("X-Empty", "")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Cookie", "'Cookie' is not a header, as in 'Name: value'"),
        (": x", "': x' is not a header, as in 'Name: value'"),
        ("a b: x", "'a b: x' is not a header, as in 'Name: value'"),
        ("A: x\r\nB: y", r"'A: x\r\nB: y' has a character in it that no header may have"),
        ("A: \u20ac", "'A: \u20ac' has a character in it that no header may have"),
        ("upgrade: x", "upgrade belongs to the handshake and cannot be given"),
    ],
)
def test_bad_headers(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        parse_header(line)


def test_subprotocols() -> None:
    assert parse_subprotocol("graphql-ws") == "graphql-ws"
    with pytest.raises(ValueError, match=r"^'a, b' is not the name of a subprotocol$"):
        parse_subprotocol("a, b")


def test_bad_certificates(tmp_path: Path) -> None:
    missing, empty = str(tmp_path / "missing"), tmp_path / "empty"
    with pytest.raises(ValueError, match=r"missing: No such file or directory$"):
        tls_context(missing)
    empty.write_text("nothing")
    with pytest.raises(ValueError, match=r"empty: it holds no certificate$"):
        tls_context(str(empty))


@pytest.mark.parametrize(
    ("url", "asking"), [("ws://a/b", "/b?x=1"), ("ws://a/b?c", "/b?c&x=1"), ("ws://a", "/?x=1")]
)
def test_a_parameter_more(url: str, asking: str) -> None:
    assert Target(parse_url(url)).asking("x=1").uri.resource_name == asking
