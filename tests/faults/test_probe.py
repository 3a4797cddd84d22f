"""What a probe reports of proxies is what they were configured to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from asgi_keepalive.__main__ import main

from ..conftest import Serve
from ..support.applications import echo
from ..support.process import started
from ..support.server import Server, running
from ..support.serving import serving
from .aiohttp_app import HEARTBEAT
from .proxies import Haproxy, Nginx
from .proxy import IDLE_TIMEOUT, Proxy

LATE = 0.5
"""How much later than its limit a proxy may cut, in seconds."""


class TlsNginx(Nginx):
    LISTEN = (
        "listen 80;",
        "listen 127.0.0.1:{} ssl; ssl_certificate server.pem; ssl_certificate_key server.pem;",
    )

    def _is_configured(self) -> bool:
        return Proxy._is_configured(self)


class TlsHaproxy(Haproxy):
    LISTEN = "bind :80", "bind 127.0.0.1:{} ssl crt server.pem"

    def _is_configured(self) -> bool:
        return Proxy._is_configured(self)


StartProxy = Callable[[Server], Proxy]


@pytest.fixture
def ws() -> str:
    """One of all, and one event loop: the proxies are what differs here."""
    return "websockets-sansio"


@pytest.fixture
def loop() -> str:
    return "asyncio"


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Return the file of whom a client has to trust; the proxy has a certificate of theirs."""
    authority = trustme.CA()
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    certificate = authority.issue_cert("localhost").private_key_and_cert_chain_pem
    certificate.write_to_path(tmp_path / "server.pem")
    return path


@pytest.fixture(params=[Nginx, TlsNginx, Haproxy, TlsHaproxy], ids=lambda cls: cls.__name__)
def proxy(
    request: pytest.FixtureRequest, tmp_path: Path, authority: Path, monkeypatch: Any
) -> Iterator[StartProxy]:
    """Start a proxy before a server."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(request.param(tmp_path, server.port))


Probed = Callable[..., tuple[int, Any]]


@pytest.fixture
def probed(capsys: pytest.CaptureFixture[str]) -> Probed:
    """Return what probes an URL, and returns the exit status and the report."""

    def probed(url: str, *options: str) -> tuple[int, Any]:
        bounds = "--parallel=4", "--pings=5", "--patience=2", "--idle-limit=5"
        status = main(["probe", url, "--json", *bounds, *options])
        return status, json.loads(capsys.readouterr().out)

    return probed


def address(front: Proxy) -> list[str]:
    """Return the URL of a proxy, and whom to trust."""
    scheme = "wss" if "Tls" in type(front).__name__ else "ws"
    return [f"{scheme}://localhost:{front.port}/", "--ca=authority.pem"]


def names(report: Any) -> set[str]:
    return {finding["name"] for finding in report["findings"]}


def test_idle_limit(serve: Serve, proxy: StartProxy, probed: Probed) -> None:
    front = proxy(serve(echo, ping_interval=None))
    status, report = probed(*address(front), "--watch=0.5")
    assert status == 1
    assert names(report) == {"no-ping", "idle-limit"}
    limit = report["path"]["idle_limit"]
    assert IDLE_TIMEOUT - 0.1 < limit["at_least"] < IDLE_TIMEOUT + LATE
    assert limit["exact"]
    assert limit["guess"]["hop"] == "a proxy"
    assert not limit["only_own"]
    assert report["path"]["longest_life"] is None
    recommended = report["recommendation"]
    assert 1 < recommended["ping_interval"] <= IDLE_TIMEOUT / 2
    assert recommended["ping_timeout"] < IDLE_TIMEOUT
    assert front.PROGRAM in str(recommended["changes"]).lower()
    version = report["handshake"]["tls_version"]
    assert (version is not None) == ("Tls" in type(front).__name__)


def test_kept_alive(serve: Serve, proxy: StartProxy, probed: Probed) -> None:
    front = proxy(serve(echo, ping_interval=0.5, ping_timeout=0.5))
    status, report = probed(*address(front), "--watch=3")
    assert (status, report["findings"]) == (0, [])
    keepalive = report["keepalive"]
    assert keepalive["interval"] == pytest.approx(0.5, abs=0.2)
    assert keepalive["timeout"] == pytest.approx(0.5, abs=0.2)
    assert keepalive["silent"]["ending"]["close_code"] == 1011
    assert keepalive["wrong_pong"]["ending"]["close_code"] == 1011
    assert keepalive["payloads"]["kind"] == "random"
    assert report["heartbeats"] == {"interval": 0.5, "timeout": 0.5}
    assert report["path"]["idle_limit"]["at_most"] is None


@pytest.mark.parametrize("proxy", [Nginx, Haproxy], ids=lambda cls: cls.__name__, indirect=True)
def test_pings_that_are_too_seldom(serve: Serve, proxy: StartProxy, probed: Probed) -> None:
    """The client keeps the connection in use until it has seen them."""
    # A client that pings, but does not answer, is logged as a warning.
    server = serve(echo, ping_interval=IDLE_TIMEOUT + 1, ping_timeout=0.5, expect=("unanswered",))
    front = proxy(server)
    status, report = probed(*address(front), "--watch=9")
    assert status == 1
    assert names(report) == {"idle-limit"}
    assert report["keepalive"]["interval"] == pytest.approx(IDLE_TIMEOUT + 1, abs=LATE)
    assert report["keepalive"]["timeout"] == pytest.approx(0.5, abs=LATE)


def test_daphne(probed: Probed) -> None:
    """It looks every 2 s, and batches its timers besides."""
    config = {"ws": "daphne", "loop": "asyncio", "ws_ping_interval": 1, "ws_ping_timeout": 1}
    with running(serving(echo, **config)) as server:
        status, report = probed(f"ws://127.0.0.1:{server.port}/", "--watch=4.5")
    assert (status, names(report)) == (0, set())
    keepalive = report["keepalive"]
    assert 1 < keepalive["interval"] < 2.5
    assert keepalive["payloads"]["kind"] == "timestamp"
    for trial in "silent", "wrong_pong", "unread":
        ending = keepalive[trial]["ending"]
        assert (ending["how"], ending["close_code"]) == ("RST", None)


def test_aiohttp(probed: Probed) -> None:
    """It waits for half of its interval, and for anything that comes."""
    with started(sys.executable, "-m", "tests.faults.aiohttp_app", "PORT") as server:
        status, report = probed(f"ws://127.0.0.1:{server.port}/", "--watch=3")
    assert status == 1
    assert names(report) == {"wrong-pong"}
    keepalive = report["keepalive"]
    assert keepalive["interval"] == pytest.approx(HEARTBEAT, abs=LATE / 4)
    assert keepalive["timeout"] == pytest.approx(HEARTBEAT / 2, abs=LATE / 4)
    assert keepalive["wrong_pong"]["ending"] is None
    for trial in "silent", "unread":
        ending = keepalive[trial]["ending"]
        assert (ending["how"], ending["close_code"]) == ("FIN", None)
