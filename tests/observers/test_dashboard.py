"""The dashboard, without a browser."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.dashboard import PIECE, Dashboard
from asgi_keepalive.extension import Traffic
from asgi_keepalive.observers.live import LiveConnections
from asgi_keepalive.verdict import judge

from ..conftest import LOOPS
from ..support.applications import echo
from ..support.client import PING, PONG, Client
from ..support.fake_loop import in_no_time
from ..support.observers import added
from ..support.server import running, wait_until
from ..support.serving import serving

ROW = {
    *("number", "client", "path", "state", "age", "waiting", "last_pong"),
    *("ping_interval", "ping_timeout", "latency", "srtt", "rttvar", "minimum", "maximum"),
    *("count", "pings", "recent"),
}


class TestDashboard:
    @pytest.fixture
    def live(self) -> LiveConnections:
        return LiveConnections()

    @pytest.fixture
    def client(self, live: LiveConnections) -> TestClient:
        return TestClient(Starlette(routes=[Mount("/at", Dashboard(live))]))

    @pytest.mark.parametrize(
        ("path", "media_type", "part"),
        [
            ("/", "text/html; charset=utf-8", "<title>Connections</title>"),
            ("/dashboard.js", "text/javascript; charset=utf-8", "connections.json"),
            ("/dashboard.css", "text/css; charset=utf-8", "color-scheme"),
        ],
    )
    def test_page(self, client: TestClient, path: str, media_type: str, part: str) -> None:
        answer = client.get(f"/at{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        assert part in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'self'")
        assert "//" not in answer.text.replace("/**", "").replace("; // ", "; ")

    @pytest.mark.parametrize("path", ["/at/other", "/at/../live.py", "/at/%2e%2e/files.py"])
    def test_nothing_else(self, client: TestClient, path: str) -> None:
        assert client.get(path).status_code == 404

    @pytest.mark.parametrize("path", ["/at/", "/at/connections.json", "/at/dashboard.js"])
    def test_method(self, client: TestClient, path: str) -> None:
        assert client.post(path).status_code == 405
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b"")

    @pytest.mark.parametrize(
        ("root_path", "location"), [("/connections", b"connections/"), ("/a/b", b"b/"), ("", b"/")]
    )
    @in_no_time
    async def test_mounted_without_a_slash(self, root_path: str, location: bytes) -> None:
        sent: list[Any] = []

        async def send(event: Any) -> None:
            sent.append(event)

        scope = {"type": "http", "method": "GET", "path": root_path, "root_path": root_path}
        await Dashboard(LiveConnections())(scope, None, send)  # type: ignore[arg-type]
        assert sent[0]["status"] == 307
        assert (b"location", location) in sent[0]["headers"]

    def test_json(self, client: TestClient, live: LiveConnections) -> None:
        assert client.get("/at/connections.json").json() == {
            **{"total": 0, "late": 0, "unsupported": 0},
            **{"failures": [], "connections": []},
        }
        added(live, 1)
        added(live, 2, 0.5, 0.25)
        seen: Traffic = {"quiet": 2.0, "unsent": 0}
        verdict = judge(seen, waited=1.5, timeout=1.5, paused=0, stalled=0)
        added(live, 3).failed(verdict)
        answer = client.get("/at/connections.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        told = answer.json()
        assert (told["total"], told["late"]) == (3, 0)
        [failure] = told["failures"]
        assert failure["why"] == "silent: nothing has come for 2 s"
        assert failure["verdict"]["waited"] == 1.5
        slowest, other, _ = told["connections"]
        assert set(slowest) == set(other) == ROW
        assert slowest["number"] == 2
        assert slowest["recent"] == [0.5, 0.25]
        assert slowest["last_pong"] < 60
        assert (slowest["state"], slowest["latency"], slowest["maximum"]) == ("ok", 0.25, 0.5)
        assert (other["state"], other["latency"], other["last_pong"]) == ("new", None, None)

    @pytest.mark.parametrize(
        ("query", "numbers"),
        [
            ("", range(1, 2 * PIECE + 31)),
            ("offset=0", range(1, 2 * PIECE + 31)),
            ("limit=2", range(1, 3)),
            ("offset=3&limit=2", range(4, 6)),
            ("limit=150&offset=90", range(91, 2 * PIECE + 31)),
            ("offset=1000&limit=5", range(0)),
            ("limit=0", range(0)),
        ],
    )
    def test_window(
        self, client: TestClient, live: LiveConnections, query: str, numbers: range
    ) -> None:
        for number in range(2 * PIECE + 30):
            added(live, number, 500.0 - number)
        told = client.get(f"/at/connections.json?{query}").json()
        assert told["total"] == 2 * PIECE + 30
        assert [one["number"] for one in told["connections"]] == list(numbers)

    @pytest.mark.parametrize(
        "query", ["limit=", "limit=-1", "limit=1e3", "offset=a", "x=1", "limit=1234567890", "&"]
    )
    def test_bad_window(self, client: TestClient, query: str) -> None:
        assert client.get(f"/at/connections.json?{query}").status_code == 400

    @in_no_time
    async def test_others_have_their_turn(self) -> None:
        live = LiveConnections()
        for number in range(10 * PIECE):
            added(live, number)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def send(event: Any) -> None:
            pass

        scope = {"type": "http", "method": "GET", "path": "/connections.json", "headers": []}
        task = asyncio.create_task(others())
        await Dashboard(live)(scope, None, send)  # type: ignore[arg-type]
        task.cancel()
        assert turns >= 10


@pytest.mark.parametrize("loop", LOOPS)
def test_on_real_servers(ws: str, loop: str) -> None:
    live = LiveConnections()
    dashboard = Dashboard(live)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (echo if scope["type"] == "websocket" else dashboard)(scope, receive, send)

    wrapped = KeepaliveMiddleware(app, ping_interval=0.1, ping_timeout=5, observers=[live])
    with running(serving(wrapped, ws=ws, loop=loop)) as server:

        def told() -> Any:
            url = f"http://127.0.0.1:{server.port}/connections.json"
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)

        with Client(server.port, path="/ws?secret=1").open() as client:
            client.send(PONG, client.expect(PING))
            wait_until(lambda: told()["connections"][0]["count"] == 1)
            [connection] = told()["connections"]
            assert connection["path"] == "/ws"
            assert connection["client"] == f"127.0.0.1:{client.port}"
            assert 0 < connection["latency"] < 5
        wait_until(lambda: told()["total"] == 0)
