"""The dashboard of the connections of all processes, without a browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from asgi_keepalive.dashboard import Dashboard
from asgi_keepalive.dashboard import shared as dashboard_shared
from asgi_keepalive.observers.live import LiveConnection
from asgi_keepalive.observers.shared import RedisUnavailable, SharedConnections
from asgi_keepalive.verdict import REFUSED

from ..support.observers import added, overdue
from ..support.redis import RedisServer, redis_server
from ..support.shared import hurry, on_a_loop, until

HOST, PID = socket.gethostname(), os.getpid()


@pytest.fixture
def url(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    server.ask("FLUSHALL")
    hurry(monkeypatch)
    monkeypatch.setattr(dashboard_shared, "EVERY", 0.05)
    return server.url


async def told(dashboard: Dashboard, query: str = "") -> Any:
    """Return what the dashboard answers."""
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    asked = {"path": "/connections.json", "query_string": query.encode()}
    await dashboard({"type": "http", "method": "GET", **asked}, None, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 200
    return json.loads(b"".join(event.get("body", b"") for event in sent[1:]))


async def shown(dashboard: Dashboard, total: int, failures: int = 0, trouble: str = "None") -> Any:
    """Wait until it shows so many connections and failures, and such trouble."""

    def holds(answer: Any) -> bool:
        counts = answer["total"], answer["selected"], len(answer["failures"])
        is_told = re.search(trouble, str(answer["trouble"])) is not None
        return counts == (total, total, failures) and is_told

    return await until(lambda: told(dashboard), holds)


def late(connection: LiveConnection) -> None:
    """Let a Pong be overdue, and the process know that it is awaited."""
    connection.pinged()
    overdue(connection)


class TestAll:
    @on_a_loop
    async def test_of_two_processes(self, url: str) -> None:
        one, other = SharedConnections(url), SharedConnections(url)
        added(one, 1, 0.1, path="/one")
        added(other, 1, 0.5, 0.25, path="/other")
        added(other, 2).failed(REFUSED)
        dashboard = Dashboard(one)
        answer = await shown(dashboard, 3, failures=1)
        first, second, third = answer["connections"]
        assert [first["path"], second["path"], third["path"]] == ["/other", "/one", "/"]
        assert first["process"] == third["process"] != second["process"]
        assert (first["host"], first["pid"], first["number"]) == (HOST, PID, 1)
        assert first["recent"] == [0.5, 0.25]
        [failure] = answer["failures"]
        assert (failure["process"], failure["number"]) == (third["process"], 2)
        assert failure["why"].startswith("refused")
        assert {entry["process"]: entry["open"] for entry in answer["processes"]} == {
            **{first["process"]: 2, second["process"]: 1}
        }
        assert answer["process"] == {"host": HOST, "pid": PID}
        assert (answer["shared"], answer["read"], answer["late"]) == (True, 3, 0)
        assert (await told(dashboard, f"since={failure['at']}"))["failures"] == []

    @on_a_loop
    async def test_same_shape_as_of_one_process(self, url: str) -> None:
        shared = SharedConnections(url)
        added(shared, 1, 0.1).failed(REFUSED)
        of_all, of_one = await shown(Dashboard(shared), 1, 1), await told(Dashboard(shared.live))
        assert set(of_all) == set(of_one)
        for entries in "connections", "failures", "processes":
            [entry], [other] = of_all[entries], of_one[entries]
            assert set(entry) == set(other)
            assert (entry["host"], entry["pid"]) == (other["host"], other["pid"])

    @on_a_loop
    async def test_selection(self, url: str) -> None:
        one, other = SharedConnections(url), SharedConnections(url)
        added(one, 1, 0.5, path="/chat")
        late(added(one, 2, path="/chat/2"))
        added(other, 1, 0.25, path="/")
        dashboard = Dashboard(other)
        answer = await until(lambda: told(dashboard), lambda answer: answer["late"] == 1)
        of_one, of_other = (answer["connections"][n]["process"] for n in (1, 2))
        for query, paths in {
            "search=CHAT": ["/chat/2", "/chat"],
            f"search={HOST.upper()}": ["/chat/2", "/chat", "/"],
            f"search={PID}&state=ok": ["/chat", "/"],
            "state=late": ["/chat/2"],
            f"process={of_one}": ["/chat/2", "/chat"],
            f"process={of_other}&number=1": ["/"],
            f"process={of_other}&number=2": [],
            "number=1": ["/chat", "/"],
            "offset=1&limit=1": ["/chat"],
        }.items():
            selected = (await told(dashboard, query))["connections"]
            assert [entry["path"] for entry in selected] == paths, query

    @on_a_loop
    async def test_of_very_many_some_of_each_are_read(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those that are late are among them; all others are found by their names."""
        monkeypatch.setattr(dashboard_shared, "MOST", 300)
        one, other = SharedConnections(url), SharedConnections(url)
        for shared in one, other:
            for number in range(1, 999):
                added(shared, number)
        late(added(one, 999, path="/late"))
        dashboard = Dashboard(other)

        def holds(answer: Any) -> bool:
            rows = answer["connections"]
            return answer["total"] == 1997 and len(rows) >= 300 and rows[0]["path"] == "/late"

        answer = await until(lambda: told(dashboard), holds)
        rows = answer["connections"]
        assert 300 <= answer["read"] == answer["selected"] == len(rows) < 700
        for entry in answer["processes"]:
            process = entry["process"]
            numbers = {row["number"] for row in rows if row["process"] == process}
            assert len(numbers) >= 90
            unread = (set(range(1, 999)) - numbers).pop()
            [row] = (await told(dashboard, f"process={process}&number={unread}"))["connections"]
            assert (row["process"], row["number"]) == (process, unread)
        for query in f"process={process}&number=1000", "process=none&number=1":
            assert (await told(dashboard, query))["connections"] == []

    @on_a_loop
    async def test_it_is_read_once_however_many_look(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dashboard_shared, "EVERY", 60)
        shared = SharedConnections(url)
        added(shared, 1)
        await until(shared.by_process, lambda found: [one.open for one in found] == [1])
        reads = Mock(wraps=shared.by_process)
        monkeypatch.setattr(shared, "by_process", reads)
        dashboard = Dashboard(shared)
        answers = await asyncio.gather(*[told(dashboard) for _ in range(20)])
        assert [answer["total"] for answer in [*answers, await told(dashboard)]] == 21 * [1]
        assert reads.call_count == 1

    def test_in_another_event_loop(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reading that an event loop left behind holds up nobody."""
        shared = SharedConnections(url)
        dashboard = Dashboard(shared)
        monkeypatch.setattr(dashboard_shared, "PATIENCE", 0)
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(told(dashboard))["shared"] is False
        left = asyncio.all_tasks(loop)
        monkeypatch.setattr(dashboard_shared, "PATIENCE", 5)

        async def elsewhere() -> None:
            added(shared, 1)
            assert (await shown(dashboard, 1))["shared"] is True

        asyncio.run(elsewhere())
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left))
        loop.close()


class TestAway:
    """Redis is away."""

    @pytest.fixture
    def own(self, url: str) -> Iterator[RedisServer]:
        with redis_server() as server:
            yield server

    @on_a_loop
    async def test_then_back(self, own: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its last answer is shown for a while, and then the process's own connections."""
        monkeypatch.setattr(dashboard_shared, "KEPT", 0.6)
        one, other = SharedConnections(own.url), SharedConnections(own.url)
        added(one, 1)
        added(other, 2, path="/other").failed(REFUSED)
        dashboard = Dashboard(one)
        await shown(dashboard, 2, failures=1)
        own.kill()
        await shown(
            dashboard, 2, 1, trouble="^Redis at .* cannot be read: .*; this is its last answer$"
        )
        answer = await shown(
            dashboard, 1, trouble="^Redis .*; this is the process that answers, alone$"
        )
        [row] = answer["connections"]
        assert (row["path"], row["process"]) == ("/", f"{HOST}:{PID}")
        assert answer["shared"] is False
        own.start()
        assert (await shown(dashboard, 2, failures=1))["shared"] is True

    @on_a_loop
    async def test_from_the_beginning(
        self, own: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dashboard_shared, "PATIENCE", 0.05)
        shared = SharedConnections(own.url)
        added(shared, 1)
        with own.stopped():
            answer = await told(Dashboard(shared))
            assert answer["trouble"].startswith("Redis has not answered yet; ")
            assert (answer["total"], answer["shared"]) == (1, False)

    @on_a_loop
    async def test_nobody_waits_for_it(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Once it is known to be away."""
        shared = SharedConnections(url)
        dashboard = Dashboard(shared)
        monkeypatch.setattr(dashboard_shared, "PATIENCE", None)
        monkeypatch.setattr(dashboard_shared, "EVERY", 0)
        failing = AsyncMock(side_effect=RedisUnavailable("it is away"))
        monkeypatch.setattr(shared, "by_process", failing)
        assert (await told(dashboard))["trouble"].startswith("it is away; ")
        monkeypatch.setattr(shared, "by_process", asyncio.Event().wait)
        assert (await told(dashboard))["trouble"].startswith("it is away; ")

    @on_a_loop
    async def test_a_row_that_was_not_read(
        self, own: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dashboard_shared, "MOST", 0)
        shared = SharedConnections(own.url)
        added(shared, 1)
        dashboard = Dashboard(shared)
        answer = await until(lambda: told(dashboard), lambda answer: answer["total"] == 1)
        assert answer["read"] == 0
        own.kill()
        query = f"process={answer['processes'][0]['process']}&number=1"
        assert (await told(dashboard, query))["connections"] == []

    @on_a_loop
    async def test_one_that_is_too_slow(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dashboard_shared, "KEPT", 0)
        answer = await told(Dashboard(SharedConnections(url)))
        assert answer["trouble"].startswith("Redis did not tell all within 0 s; ")


def test_the_extra_is_not_needed() -> None:
    """Nobody else imports the library."""
    code = """if True:
        import sys
        from asgi_keepalive.dashboard import Dashboard
        from asgi_keepalive.observers.live import LiveConnections
        Dashboard(LiveConnections())
        try:
            Dashboard(None)
        except TypeError as error:
            print(error, "redis" in sys.modules)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("observers, not None False\n")
