"""What is reported of real servers is what they are configured to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.probe import path

from ..support.applications import echo
from ..support.process import started
from ..support.server import running
from ..support.serving import serving
from .conftest import Probed

EARLY, LATE = 0.1, 0.6
"""By how much a time may be measured too short or too long on a busy machine, in seconds."""


def near(measured: float, configured: float) -> bool:
    return configured - EARLY < measured < configured + LATE


@pytest.fixture(autouse=True)
def _heartbeats_are_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "FIRST_HEARTBEAT", 0.2)


@pytest.fixture
def authority(tmp_path: Path) -> tuple[str, str]:
    """Return two files: whom to trust, and a certificate of theirs with its key."""
    authority = trustme.CA()
    trusted, certificate = tmp_path / "trusted.pem", tmp_path / "certificate.pem"
    authority.cert_pem.write_to_path(trusted)
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    return str(trusted), str(certificate)


@contextmanager
def served(app: Any = echo, **config: Any) -> Iterator[str]:
    """Serve an application in this context, and yield the URL."""
    scheme = "wss" if "ssl_certfile" in config else "ws"
    with running(
        serving(app, **{"ws": "websockets-sansio", "loop": "asyncio", **config})
    ) as server:
        yield f"{scheme}://localhost:{server.port}/"


def names(report: Any) -> set[str]:
    return {finding["name"] for finding in report["findings"]}


def endings(report: Any) -> list[Any]:
    """Return how the clients ended that answered nothing, wrongly, and read nothing."""
    return [report["keepalive"][name]["ending"] for name in ("silent", "wrong_pong", "unread")]


def pings_and_times_out(report: Any, interval: float, timeout: float) -> None:
    """See that these times and a Close frame 1011 are reported."""
    keepalive = report["keepalive"]
    assert near(keepalive["interval"], interval)
    assert near(keepalive["timeout"], timeout)
    assert keepalive["payloads"]["kind"] == "random"
    for ending in endings(report):
        assert ending["close_code"] == 1011
        assert ending["close_reason"] == "keepalive ping timeout"
    assert report["path"]["idle_limit"]["at_most"] is None
    assert 0 < report["path"]["minimum"] < 1


def test_uvicorn(probed: Probed) -> None:
    with served(ws_ping_interval=0.3, ws_ping_timeout=0.2) as url:
        status, report = probed(url, watch=3, patience=2, idle_limit=0.5)
    assert (status, names(report)) == (0, set())
    assert report["heartbeats"] is None
    assert ["server", "uvicorn"] in report["handshake"]["headers"]
    assert report["handshake"]["extensions"].startswith("permessage-deflate")
    pings_and_times_out(report, 0.3, 0.2)


def test_this_middleware_over_tls(probed: Probed, authority: tuple[str, str]) -> None:
    ca, certificate = authority
    app = KeepaliveMiddleware(echo, ping_interval=0.3, ping_timeout=0.2, close_timeout=0.2)
    with served(app, ssl_certfile=certificate) as url:
        status, report = probed(url, "--insecure", watch=3, patience=2, idle_limit=0.5)
        assert (status, names(report)) == (0, set())
        pings_and_times_out(report, 0.3, 0.2)
        assert report["heartbeats"] == {"interval": 0.3, "timeout": 0.2}
        assert report["handshake"]["tls_version"] == "TLSv1.3"
        status, report = probed(url)
        assert status == 1
        assert report["handshake"]["error"].startswith("TLS: the certificate is not trusted: ")
        status, report = probed(url.replace("wss", "ws"))
        assert status == 1
        assert report["handshake"]["error"].endswith(
            "; perhaps it wants TLS, wss:// instead of ws://"
        )
        _, report = probed(url, "--ca", ca, watch=0.1)
        assert report["handshake"]["error"] is None


def test_tls_where_there_is_none(probed: Probed) -> None:
    with served() as url:
        status, report = probed(url.replace("ws", "wss"), "--insecure")
    assert status == 1
    assert report["handshake"]["error"].startswith("TLS: ")
    assert report["handshake"]["error"].endswith(
        "; perhaps it speaks no TLS, ws:// instead of wss://"
    )


def test_hypercorn(probed: Probed) -> None:
    with served(ws="hypercorn", ws_ping_interval=0.3) as url:
        status, report = probed(url, watch=3, patience=0.5)
    assert status == 1
    assert names(report) == {"no-timeout", "unread"}
    assert near(report["keepalive"]["interval"], 0.3)
    assert report["keepalive"]["payloads"]["kind"] == "empty"
    assert report["keepalive"]["timeout"] is None


def test_granian(probed: Probed) -> None:
    command = "granian", "--interface", "asgi", "--port", "PORT", "tests.support.applications:echo"
    with started(sys.executable, "-m", *command) as server:
        status, report = probed(f"ws://127.0.0.1:{server.port}/", idle_limit=0.5)
    assert status == 1
    assert names(report) == {"no-ping"}
    assert near(report["path"]["idle_limit"]["at_least"], 0.5)
    assert report["keepalive"]["silent"] is None
