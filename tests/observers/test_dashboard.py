"""The dashboard, without a browser."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import urllib.request
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.dashboard import PIECE, Dashboard
from asgi_keepalive.dashboard.query import Query
from asgi_keepalive.dashboard.view import EVERY, FEW, STEP, View
from asgi_keepalive.extension import Traffic
from asgi_keepalive.observers.live import LiveConnections
from asgi_keepalive.verdict import REFUSED, judge

from ..conftest import LOOPS
from ..support.applications import echo
from ..support.client import PING, PONG, Client
from ..support.fake_loop import in_no_time
from ..support.observers import added, overdue, pong
from ..support.server import running, wait_until
from ..support.serving import serving

OWN = f"{socket.gethostname()}:{os.getpid()}"
"""The identity of this process."""


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
            ("/charts.js", "text/javascript; charset=utf-8", "polyline"),
            ("/details.js", "text/javascript; charset=utf-8", "verdict"),
            ("/format.js", "text/javascript; charset=utf-8", "textContent"),
            ("/table.js", "text/javascript; charset=utf-8", "connections"),
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
        told = client.get("/at/connections.json").json()
        assert (told["total"], told["selected"], told["connections"]) == (0, 0, [])
        assert (told["failures"], told["lately"]["slots"]) == ([], [])
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
        assert told["lately"]["failed"] == {"silent": 1}
        assert told["process"] == {"host": socket.gethostname(), "pid": os.getpid()}
        assert [(one["process"], one["open"]) for one in told["processes"]] == [(OWN, 3)]
        assert (told["shared"], told["trouble"], told["read"]) == (False, None, 3)
        slowest, other, _ = told["connections"]
        assert slowest["process"] == failure["process"] == OWN
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
            ("limit=150&offset=15", range(16, 2 * PIECE + 31)),
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
        assert told["total"] == told["selected"] == 2 * PIECE + 30
        assert [one["number"] for one in told["connections"]] == list(numbers)

    @pytest.mark.parametrize(
        "query",
        [
            *("limit=", "limit=-1", "limit=1e3", "offset=a", "x=1", "limit=1234567890", "&"),
            *(
                "process=",
                "process=%00",
                "state=",
                "state=failed",
                "number=x",
                "since=nan",
                "since=",
                "%ff",
            ),
            f"search={'x' * 201}",
        ],
    )
    def test_bad_window(self, client: TestClient, query: str) -> None:
        assert client.get(f"/at/connections.json?{query}").status_code == 400

    @pytest.mark.parametrize(
        ("query", "numbers"),
        [
            ("search=CHAT", [2, 1]),
            ("search=192.0.2.1:3", [3]),
            ("search=%26%2b%C3%A9", [3]),
            ("search=none", []),
            ("state=ok", [3, 2]),
            ("state=new", [1]),
            ("state=late", [4]),
            ("state=unsupported", [5]),
            ("state=ok&search=chat", [2]),
            ("search=chat&offset=1", [1]),
            ("number=2", [2]),
            ("number=6", []),
            ("number=2&process=OWN", [2]),
            ("search=chat&process=OWN", [2, 1]),
            ("number=2&process=other", []),
        ],
    )
    def test_selection(
        self, client: TestClient, live: LiveConnections, query: str, numbers: list[int]
    ) -> None:
        paths = "/chat", "/Chat/2", "/&+\xe9", "/", "/"
        connections = [added(live, number, path=path) for number, path in enumerate(paths, 1)]
        pong(connections[1], 0.25)
        pong(connections[2], 0.5)
        overdue(connections[3])
        connections[4].keepalive._supported = False
        told = client.get(f"/at/connections.json?{query.replace('OWN', OWN)}").json()
        assert [one["number"] for one in told["connections"]] == numbers
        assert told["selected"] - ("offset" in query) == len(numbers)
        assert (told["total"], told["late"], told["unsupported"]) == (5, 1, 1)
        assert ("history" in str(told["connections"])) == ("number=2" in query and numbers == [2])

    def test_failures_since(self, client: TestClient, live: LiveConnections) -> None:
        for number in range(3):
            added(live, number).failed(REFUSED)
        first, second, third = live.failures
        told = client.get(f"/at/connections.json?since={first.at!r}").json()
        assert [one["number"] for one in told["failures"]] == [third.number, second.number]

    @in_no_time
    async def test_many_are_sorted_once_a_second(self) -> None:
        """However many look."""
        live = LiveConnections()
        view = View(live)
        for number in range(FEW):
            added(live, number, 1.0)
        everything = await (await view.now()).select(Query())
        assert len(everything) == FEW
        slow = added(live, FEW, 2.0)
        assert await (await view.now()).select(Query()) is everything
        assert await view.select(Query(number=slow.number)) == [slow]
        await asyncio.sleep(EVERY)
        assert (await (await view.now()).select(Query()))[0] is slow
        for connection in everything[1:]:
            connection.closed()
        assert len(await (await view.now()).select(Query())) == 2  # few are sorted each time

    @pytest.mark.parametrize("wrong", [LiveConnections, None, "live"])
    def test_of_something_else(self, wrong: Any) -> None:
        with pytest.raises(TypeError) as refused:
            Dashboard(wrong)
        assert str(refused.value) == (
            "Dashboard shows the LiveConnections() or SharedConnections() that "
            f"KeepaliveMiddleware has among its observers, not {wrong!r}"
        )

    @pytest.mark.parametrize("query", [b"", b"search=none"])
    @in_no_time
    async def test_others_have_their_turn(self, query: bytes) -> None:
        live = LiveConnections()
        for number in range(10 * STEP):
            added(live, number)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def send(event: Any) -> None:
            pass

        asked = {"path": "/connections.json", "query_string": query}
        scope = {"type": "http", "method": "GET", **asked}
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
