"""The connections of all processes, in a real Redis."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import socket
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_keepalive.observers.live import LiveConnection
from asgi_keepalive.observers.shared import (
    RedisUnavailable,
    SharedConnections,
    SharedProcess,
    publisher,
)
from asgi_keepalive.observers.shared.changes import Changes
from asgi_keepalive.observers.shared.client import Client
from asgi_keepalive.observers.shared.commands import PIECE, Command
from asgi_keepalive.observers.shared.keys import Keys
from asgi_keepalive.observers.shared.rows import dump_connection
from asgi_keepalive.verdict import judge

from ..support.observers import added, overdue, pong
from ..support.redis import RedisServer
from ..support.shared import counted, hurry, on_a_loop, rows, seen, until

SILENT = judge({}, waited=1, timeout=1, paused=0, stalled=0)


@pytest.fixture
def url(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    server.ask("FLUSHALL")
    server.ask("CONFIG", "RESETSTAT")
    hurry(monkeypatch)
    return server.url


class TestConnections:
    @on_a_loop
    async def test_of_two_processes(self, server: RedisServer, url: str) -> None:
        one, other = SharedConnections(url), SharedConnections(url)
        connection = added(one, 1, 0.1, 0.2, path="/one")
        added(other, 2, path="/other")
        first, second = await seen(other, "/one", "/other")
        assert (first.host, first.pid) == (socket.gethostname(), os.getpid())
        assert (first.number, first.client) == (1, "192.0.2.1:1")
        assert first.process != second.process
        assert second.latency is None
        await counted(2, one, other)
        connection.closed()
        await seen(one, "/other")
        await counted(1, one, other)
        assert len(one.live) == 0
        assert await one.by_path() == {"/other": 1}
        # Nothing had to be written again.
        assert server.ask("INFO", "commandstats")["cmdstat_unlink"]["calls"] == 2

    @on_a_loop
    async def test_row(self, url: str) -> None:
        shared = SharedConnections(url)
        connection = added(shared, 1, 0.1, 0.2004)
        [row] = await seen(shared, "/")
        assert (row.latency, row.minimum, row.maximum) == (0.2004, 0.1, 0.2004)
        assert (row.srtt, row.rttvar) == pytest.approx(
            (connection.statistics.srtt, connection.statistics.rttvar), abs=1e-5
        )
        assert (row.count, row.pings) == (2, connection.statistics.pings)
        assert row.recent == pytest.approx([0.1, 0.2004])
        assert (row.ping_interval, row.ping_timeout, row.waiting) == (20, 20, None)
        assert row.slowness == 0.2004
        assert row.last_pong is not None
        assert connection.since_last_pong is not None
        await asyncio.sleep(0.5)
        [row] = await seen(shared, "/")
        # Two times are read one after the other, and Redis counts milliseconds.
        assert 0.5 < row.age == pytest.approx(connection.age, abs=0.2)
        assert row.last_pong == pytest.approx(connection.since_last_pong, abs=0.2)

    @on_a_loop
    async def test_states(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Changes, "_turn_over", lambda self: None)  # no row is written again
        shared = SharedConnections(url)
        added(shared, 1, path="/new")
        connection = added(shared, 2, 0.1, path="/ok")
        added(shared, 3, path="/unsupported").keepalive._supported = False
        found = await seen(shared, "/new", "/ok", "/unsupported")
        assert [one.state for one in found] == ["new", "ok", "unsupported"]
        connection.pinged()
        overdue(connection)
        found = await until(lambda: rows(shared), lambda found: found[1].state == "late")
        assert found[1].waiting is not None
        assert found[1].waiting >= 2
        assert found[1].slowness == found[1].waiting
        [process] = await shared.by_process()
        assert (process.open, process.late, process.unsupported) == (3, 1, 1)
        connection.keepalive._link = None
        pong(connection, 0.1)
        await until(shared.by_process, lambda found: not found[0].late)
        [publisher] = shared._loops.values()
        assert not publisher.changes._awaiting

    @on_a_loop
    async def test_pages(self, url: str) -> None:
        shared = SharedConnections(url)
        connections = [  # more than one pipeline has, or one HSCAN
            added(shared, number, path=f"/{number % 600}") for number in range(1, 1202)
        ]
        await until(lambda: rows(shared), lambda found: len(found) == 1201)
        pages = [page async for page in shared.pages(250)]
        assert [len(page) for page in pages] == [250, 250, 250, 250, 201]
        assert sorted(one.number for page in pages for one in page) == list(range(1, 1202))
        late = shared.live.find(601)
        assert late is not None
        late.pinged()
        overdue(late)

        async def some() -> list[int]:
            return [one.number async for page in shared.pages(most=300) for one in page]

        numbers = await until(some, lambda numbers: numbers[0] == late.number)
        assert 300 <= len(numbers) == len(set(numbers)) < 700
        counts = await shared.by_path()
        assert (len(counts), counts["/0"], counts["/1"], counts.total()) == (600, 2, 3, 1201)
        for connection in connections[1:]:
            connection.closed()
        await seen(shared, "/1")
        with pytest.raises(ValueError, match=r"^size must be at least 1, not 0$"):
            await anext(shared.pages(0))

    @on_a_loop
    async def test_pages_of_many_processes(self, url: str) -> None:
        """Of each some are read, and in all about as many as are asked for."""
        views = [SharedConnections(url) for _ in range(20)]
        for number in range(20 * 60):
            added(views[number % 20], number)
        await until(lambda: rows(views[0]), lambda found: len(found) == 1200)
        some = [one async for page in views[0].pages(most=100) for one in page]
        assert len({one.process for one in some}) == 20
        assert 100 <= len(some) < 300

    @on_a_loop
    async def test_settings_that_change(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody tells of that, so it is seen a while later."""
        monkeypatch.setattr("asgi_keepalive.observers.shared.changes.AGAIN", 3)
        shared = SharedConnections(url)
        connection = added(shared, 1, 0.1)
        await seen(shared, "/")
        connection.keepalive._supported = False
        await until(lambda: rows(shared), lambda found: found[0].state == "unsupported")


class TestPresence:
    @on_a_loop
    async def test_of_a_client(self, url: str) -> None:
        one, other = SharedConnections(url), SharedConnections(url)
        connection = added(one, 5000, path="/one")
        added(one, 5001, path="/two")
        added(other, 5000, path="/three")
        await seen(one, "/one", "/three", "/two")
        assert {row.path for row in await one.where(client="192.0.2.1:5000")} == {"/one", "/three"}
        assert len(await one.where(client="192.0.2.1")) == 3
        for nobody in "192.0.2.1:500", "192.0.2.", "192.0.2", "", "192.0.2.1:", "192.0.2.11":
            assert await one.where(client=nobody) == []
        [row] = await one.where(client="192.0.2.1:5001")
        assert await other.find(row.process, row.number) is not None
        assert await other.find(row.process, 77) is None
        assert await other.find("nobody", row.number) is None
        connection.closed()
        await seen(one, "/three", "/two")
        assert len(await one.where(client="192.0.2.1:5000")) == 1

    @on_a_loop
    async def test_address_with_colons(self, url: str) -> None:
        shared = SharedConnections(url)
        scope = {"path": "/", "state": {"keepalive": added(shared, 1, path="/no").keepalive}}
        for host in "2001:db8::1", "2001:db8::1:2":
            shared({**scope, "client": (host, 50000)}).opened()
        await seen(shared, "/", "/", "/no")
        [row] = await shared.where(client="2001:db8::1")
        assert row.client == "2001:db8::1:50000"

    @on_a_loop
    async def test_by_path(self, url: str) -> None:
        one, other = SharedConnections(url), SharedConnections(url)
        connections = [
            added(shared, 1, path=path)
            for shared, path in zip([one, one, other], ["/a", "/b", "/a"], strict=True)
        ]
        await seen(one, "/a", "/a", "/b")
        assert await one.by_path() == {"/a": 2, "/b": 1}
        assert await one.by_path("/a", "/c") == {"/a": 2}
        connections[1].closed()
        added(one, 1, path="/a")
        await seen(one, "/a", "/a", "/a")
        assert await one.by_path() == {"/a": 3}

    @on_a_loop
    async def test_by_process(self, url: str) -> None:
        shared = SharedConnections(url)
        added(shared, 1, 0.1)
        [row] = await seen(shared, "/")
        [process] = await shared.by_process()
        assert process == SharedProcess(
            *(row.process, socket.gethostname(), os.getpid(), 1, 0, 0), process.pings_per_second
        )
        assert process.pings_per_second > 0

    @on_a_loop
    async def test_one_that_only_looks_is_none(self, url: str) -> None:
        shared, looks = SharedConnections(url), SharedConnections(url)
        added(shared, 1)
        await seen(looks, "/")
        await counted(1, looks)
        [process] = await looks.by_process()
        assert process.open == 1


class TestFailures:
    @on_a_loop
    async def test_of_all_processes(self, url: str) -> None:
        one, other = SharedConnections(url), SharedConnections(url)
        for number, shared in enumerate([one, other, one]):
            connection = added(shared, number, 0.25, path=f"/{number}")
            connection.failed(SILENT)
            connection.closed()
            await asyncio.sleep(0.02)
        failures = await until(one.failures, lambda found: len(found) == 3)
        assert [one.path for one in failures] == ["/0", "/1", "/2"]
        [own, _] = one.live.failures
        first = failures[0]
        assert (first.client, first.number, first.verdict) == (own.client, own.number, SILENT)
        assert (first.host, first.pid) == (socket.gethostname(), os.getpid())
        # Redis and this process have the same clock here.
        assert first.at == pytest.approx(own.at, abs=0.5)
        assert first.history == [(0.0, 0.25)]
        assert first.age == pytest.approx(own.age, abs=0.001)

    @on_a_loop
    async def test_last_of_very_many(self, url: str) -> None:
        one, other = SharedConnections(url), SharedConnections(url)
        for shared in one, other:
            for number in range(150):
                connection = added(shared, number, path=f"/{number}")
                connection.failed(SILENT)
                connection.closed()
        failures = await until(one.failures, lambda found: len(found) == 100)
        assert failures[-1].path == "/149"


class TestEnd:
    @pytest.mark.parametrize("closes", [True, False], ids=["closes", "loop ends"])
    def test_process_is_gone_at_once(self, url: str, server: RedisServer, closes: bool) -> None:
        async def main() -> None:
            shared = SharedConnections(url)
            connection = added(shared, 1)
            await seen(shared, "/")
            connection.failed(SILENT)
            if closes:
                await shared.close()
                assert not server.ask("SMEMBERS", "asgi-keepalive:processes")
                added(shared, 1)  # it stays closed
                await asyncio.sleep(0.1)
                with pytest.raises(RedisUnavailable, match=r"^it has been closed$"):
                    await shared.failures()

        asyncio.run(main())
        assert server.ask("ZCARD", "asgi-keepalive:failures") == 1
        left = {"asgi-keepalive:failures", "asgi-keepalive:total", "asgi-keepalive:turn"}
        assert {key.decode() for key in server.ask("KEYS", "*")} <= left

    @on_a_loop
    async def test_last_connection_is_gone_at_once(
        self, server: RedisServer, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The process may end soon: uvicorn ends itself by a signal, and cancels no task."""
        shared = SharedConnections(url)
        connections = [added(shared, 1), added(shared, 1)]
        await seen(shared, "/", "/")
        monkeypatch.setattr("asgi_keepalive.observers.shared.publisher.PERIOD", 60)
        await asyncio.sleep(0.1)
        for connection in connections:
            connection.closed()
        async with asyncio.timeout(2):  # it would expire, too
            await seen(shared)
        before = server.ask("INFO", "commandstats")["cmdstat_sadd"]["calls"]
        for _ in range(100):  # but no client can make it do so all the time
            added(shared, 1).closed()
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert server.ask("INFO", "commandstats")["cmdstat_sadd"]["calls"] == before

    @on_a_loop
    async def test_context_of_the_first_connection_is_not_kept(self, url: str) -> None:
        class Secret:
            pass

        secret = Secret()
        reference = weakref.ref(secret)
        shared = SharedConnections(url)
        context = contextvars.copy_context()
        context.run(contextvars.ContextVar[Secret]("secret").set, secret)
        context.run(added, shared, 1)
        del context, secret
        await seen(shared, "/")
        gc.collect()
        assert reference() is None

    @on_a_loop
    async def test_what_happens_while_redis_is_told_can_wait(
        self, server: RedisServer, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publisher, "PERIOD", 10)
        execute = Client.execute

        async def busy(self: Client, *commands: Command) -> list[Any]:
            connection.ponged(0.1)
            return await execute(self, *commands)

        monkeypatch.setattr(Client, "execute", busy)
        connection = added(SharedConnections(url), 1)
        await asyncio.sleep(0.3)
        assert server.ask("INFO", "commandstats")["cmdstat_zcard"]["calls"] == 1

    @on_a_loop
    async def test_others_have_their_turn(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        shared = SharedConnections(url)
        for number in range(500):
            added(shared, number)
        turn = 0
        turns: list[int] = []

        def dumped(connection: LiveConnection) -> bytes:
            turns.append(turn)
            return dump_connection(connection)

        monkeypatch.setattr("asgi_keepalive.observers.shared.changes.dump_connection", dumped)
        async with asyncio.timeout(10):
            while len(turns) < 500:
                turn += 1
                await asyncio.sleep(0)
        assert len(set(turns)) >= 5

    @on_a_loop
    async def test_without_a_connection(self, url: str) -> None:
        await SharedConnections(url).close()

    def test_two_event_loops(self, url: str) -> None:
        """They share the object, and each is a process in the view."""
        shared = SharedConnections(url)
        all_have_seen = threading.Barrier(3)

        async def run(path: str) -> None:
            added(shared, 1, path=path)
            await seen(shared, "/one", "/two")
            await asyncio.to_thread(all_have_seen.wait, 10)

        threads = [
            threading.Thread(target=lambda path=path: asyncio.run(run(path)))
            for path in ("/one", "/two")
        ]
        for thread in threads:
            thread.start()

        async def look() -> None:
            found = await seen(shared, "/one", "/two")
            assert len({one.process for one in found}) == 2
            assert {one.pid for one in found} == {os.getpid()}
            await asyncio.to_thread(all_have_seen.wait, 10)
            for thread in threads:
                await asyncio.to_thread(thread.join)
            await seen(shared)

        async def forgets() -> None:
            await seen(shared)
            assert list(shared._loops) == [asyncio.get_running_loop()]

        asyncio.run(look())
        asyncio.run(forgets())


REFUSED = (
    "redis_url must be the URL of a Redis: redis://HOST:PORT/DB, rediss://... or "
    "unix:///PATH; this one is not, and is not shown, as it may hold a password"
)


class TestArguments:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "localhost",
            "http://localhost",
            "redis://:secret/1@localhost",
            "redis://h?nonsense=1",
        ],
    )
    def test_bad_url(self, url: str) -> None:
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            SharedConnections(url)
        assert str(raised.value) == REFUSED
        assert raised.value.__suppress_context__

    @pytest.mark.parametrize("url", [None, b"redis://:secret@localhost"])
    def test_bad_type(self, url: Any) -> None:
        with pytest.raises(TypeError) as raised:
            SharedConnections(url)
        assert str(raised.value) == f"redis_url must be a string, not of {type(url)}"

    def test_bad_prefix(self) -> None:
        with pytest.raises(TypeError, match=r"^prefix must be a string, not 1$"):
            SharedConnections("redis://", prefix=1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"^prefix must not be empty$"):
            SharedConnections("redis://", prefix="")

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("redis://user:secret@example.org:1/2", "example.org:1"),
            ("rediss://:secret@", "localhost:6379"),
            ("unix://user:secret@/tmp/socket", "/tmp/socket"),
        ],
    )
    def test_repr_has_no_password(self, url: str, name: str) -> None:
        shared = SharedConnections(url, prefix="chat")
        assert repr(shared) == f"<SharedConnections of 'chat' in Redis at {name}>"

    @on_a_loop
    async def test_options_in_the_url(self, url: str) -> None:
        options = "max_connections=1&timeout=1&decode_responses=1&socket_timeout=9&protocol=3"
        shared = SharedConnections(f"{url}?{options}")
        added(shared, 1, 0.1)
        await seen(shared, "/")
        assert len(await shared.where(client="192.0.2.1")) == 1

    def test_without_an_event_loop(self) -> None:
        """As on trio, where no connection is kept alive."""
        shared = SharedConnections("redis://")
        added(shared, 1)
        assert len(shared) == len(shared.live) == 1

    @on_a_loop
    async def test_bad_client(self, url: str) -> None:
        with pytest.raises(TypeError) as raised:
            await SharedConnections(url).where(client=("192.0.2.1", 50000))  # type: ignore[arg-type]
        assert str(raised.value) == (
            """client must be a string, "host" or "host:port", not ('192.0.2.1', 50000)"""
        )

    @on_a_loop
    async def test_prefix(self, url: str) -> None:
        one, other = SharedConnections(url, prefix="a"), SharedConnections(url, prefix="b")
        added(one, 1, path="/a")
        added(other, 1, path="/b")
        await seen(one, "/a")
        await seen(other, "/b")


class TestPaths:
    """What is collected of paths, which clients choose."""

    def test_those_of_connections_that_were_never_told_are_not_kept(self) -> None:
        changes = Changes(Keys("test"), "process", 8)
        one: Any = SimpleNamespace(number=1, path="/one")
        changes.opened(one)
        changes.closed(one)
        assert not changes._changed_paths

    def test_one_that_is_gone_while_others_are_written_is_deleted(self) -> None:
        changes = Changes(Keys("test"), "process", 8)
        some: list[Any] = [
            SimpleNamespace(number=number, path=f"/{number}") for number in range(2 * PIECE)
        ]
        for one in some:
            changes.opened(one)
        writing = changes._take_paths()
        _, key, *first = next(writing)
        gone = next(one for one in some if one.path.encode() not in first)
        changes.closed(gone)
        *_, last = writing
        assert last == ("HDEL", key, gone.path.encode())
        assert changes._written_paths == {one.path for one in some} - {gone.path}
