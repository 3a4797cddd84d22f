"""A Redis that is slow, away, empty or read-only, and what others have written in it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NoReturn

import pytest
import redis
from redis.asyncio.connection import RedisSSLContext

from asgi_keepalive.observers.shared import RedisUnavailable, SharedConnections
from asgi_keepalive.observers.shared.changes import Changes
from asgi_keepalive.observers.shared.client import Address, Client
from asgi_keepalive.verdict import judge

from ..support.observers import added
from ..support.redis import RedisServer, redis_server
from ..support.shared import counted, hurry, on_a_loop, rows, seen, until

SILENT = judge({}, waited=1, timeout=1, paused=0, stalled=0)
KEYS = "asgi-keepalive"
HUGE = b"9" * 400
"""A number that is too large for a float."""

Log = pytest.LogCaptureFixture


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    hurry(monkeypatch)
    with redis_server() as server:
        yield server


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.INFO, "asgi_keepalive")
    return caplog


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[Address]:
    """Note each connection that is to write to Redis."""
    noted: list[Address] = []
    writer = Address.writer

    def noting(self: Address) -> Client:
        noted.append(self)
        return writer(self)

    monkeypatch.setattr(Address, "writer", noting)
    return noted


async def told(log: Log, *expected: str) -> None:
    """Wait until these are the levels of what the log says."""

    async def levels() -> list[str]:
        return [record.levelname for record in log.records]

    await until(levels, lambda found: sorted(found) == sorted(expected))


class TestAway:
    @on_a_loop
    async def test_redis_that_is_stopped(self, server: RedisServer, log: Log) -> None:
        shared = SharedConnections(server.url, _expiry=0.5)
        stays, closes = added(shared, 1, path="/stays"), added(shared, 2, path="/closes")
        await seen(shared, "/closes", "/stays")
        await counted(2, shared)
        with server.stopped():
            closes.failed(SILENT)
            closes.closed()
            added(shared, 3, path="/opens")
            await told(log, "WARNING")
            assert len(shared) == 2
            with pytest.raises(RedisUnavailable, match=f"^Redis at {server.folder}/socket can"):
                await shared.by_path()
            await asyncio.sleep(0.5)  # everything expires
            stays.ponged(0.75)
        began = time.monotonic()
        await seen(shared, "/opens", "/stays")
        await until(lambda: rows(shared), lambda found: found[1].recent == [0.75])
        assert time.monotonic() - began < 2
        assert [one.path for one in await shared.failures()] == ["/closes"]
        await counted(2, shared)
        await told(log, "WARNING", "INFO")

    @on_a_loop
    async def test_redis_that_is_not_there_yet(
        self, server: RedisServer, log: Log, attempts: list[Address]
    ) -> None:
        server.kill()
        shared = SharedConnections(server.url)
        added(shared, 1)
        await told(log, "WARNING")
        assert len(shared) == 1
        before = len(attempts)
        await asyncio.sleep(0.2)
        assert 1 <= len(attempts) - before <= 5
        server.start()
        await seen(shared, "/")
        await told(log, "WARNING", "INFO")
        name = f"Redis at {server.folder}/socket"
        lost_, found = [record.getMessage() for record in log.records]
        assert lost_.startswith(
            f"{name} is lost, so others do not see this process's connections: Error "
        )
        assert found == f"{name} is back, with all connections of this process"

    @on_a_loop
    async def test_host_that_is_looked_up_for_long(
        self, server: RedisServer, log: Log, attempts: list[Address]
    ) -> None:
        """Each lookup takes a thread of which the application has few."""
        shared = SharedConnections("redis://redis.example")
        is_found = asyncio.Event()
        lookups = 0

        async def getaddrinfo(*_: object) -> NoReturn:
            nonlocal lookups
            lookups += 1
            await is_found.wait()
            raise socket.gaierror("no such host")

        asyncio.get_running_loop().getaddrinfo = getaddrinfo  # type: ignore[assignment]
        added(shared, 1)
        await told(log, "WARNING")
        assert log.messages[0].endswith("process's connections: its address is not known yet")
        await until(lambda: asyncio.sleep(0, len(attempts)), lambda number: number > 3)
        assert lookups == 1
        is_found.set()
        await until(lambda: asyncio.sleep(0, lookups), lambda number: number > 1)
        is_found.clear()
        before = lookups
        await until(lambda: asyncio.sleep(0, lookups), lambda number: number > before)
        await shared.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @on_a_loop
    async def test_certificates_are_read_in_a_thread(
        self, monkeypatch: pytest.MonkeyPatch, log: Log
    ) -> None:
        threads: list[threading.Thread] = []
        get = RedisSSLContext.get

        def noting(self: RedisSSLContext) -> ssl.SSLContext:
            if self.context is None:
                threads.append(threading.current_thread())
            return get(self)

        monkeypatch.setattr(RedisSSLContext, "get", noting)
        added(SharedConnections("rediss://127.0.0.1:1"), 1)
        await told(log, "WARNING")
        assert threads
        assert threading.main_thread() not in threads

    @on_a_loop
    async def test_redis_that_comes_back_empty(self, server: RedisServer, log: Log) -> None:
        one, other = SharedConnections(server.url), SharedConnections(server.url)
        for shared in one, other:
            for number in range(3):
                connection = added(shared, number)
                connection.failed(SILENT)
        await seen(one, *["/"] * 6)
        before = await until(one.failures, lambda found: len(found) == 6)
        server.kill()
        with pytest.raises(RedisUnavailable):
            await one.by_process()
        await told(log, "WARNING", "WARNING")
        server.start()
        await seen(one, *["/"] * 6)
        assert (await one.by_path()) == {"/": 6}
        assert len(await one.where(client="192.0.2.1")) == 6
        after = await until(one.failures, lambda found: len(found) == 6)
        # Which of two is first is told by the clocks, which have been compared again.
        assert {(one.process, one.number) for one in after} == {
            (one.process, one.number) for one in before
        }
        await told(log, "WARNING", "WARNING", "INFO", "INFO")

    @on_a_loop
    async def test_replica_that_becomes_the_master(self, server: RedisServer, log: Log) -> None:
        shared = SharedConnections(server.url)
        added(shared, 1, path="/first")
        await seen(shared, "/first")
        server.ask("REPLICAOF", "127.0.0.1", "1")  # where no master is
        added(shared, 1, path="/second")
        await told(log, "WARNING")
        await asyncio.sleep(0.2)
        server.ask("REPLICAOF", "NO", "ONE")
        await seen(shared, "/first", "/second")
        await told(log, "WARNING", "INFO")
        message = log.records[0].getMessage()
        assert re.search(r": SET asgi-keepalive:[\w:]+: .*read only replica\.$", message)

    @on_a_loop
    async def test_redis_that_refuses_one_command(self, server: RedisServer, log: Log) -> None:
        shared = SharedConnections(server.url)
        server.ask("SET", f"{KEYS}:processes", "of another application")
        added(shared, 1)
        await told(log, "WARNING")
        await asyncio.sleep(0.2)
        with pytest.raises(RedisUnavailable, match="WRONGTYPE"):
            await shared.by_process()
        server.ask("DEL", f"{KEYS}:processes")
        await seen(shared, "/")
        await told(log, "WARNING", "INFO")

    @on_a_loop
    async def test_nothing_is_kept_of_those_that_come_and_go(
        self, server: RedisServer, log: Log
    ) -> None:
        shared = SharedConnections(server.url)
        added(shared, 1)
        leaves = added(shared, 2)
        await seen(shared, "/", "/")
        server.kill()
        leaves.closed()
        [publisher] = shared._loops.values()

        async def some_come_and_go() -> int:
            for number in range(100):
                added(shared, number, 0.1, path=f"/{number}").closed()
            await asyncio.sleep(0.06)
            return sum(sys.getsizeof(one) for one in vars(publisher.changes).values())

        await told(log, "WARNING")
        await until(some_come_and_go, lambda size: size < 8000)  # with each attempt, and
        reference = weakref.ref(leaves)
        del leaves
        gc.collect()
        assert reference() is None
        server.start()
        await seen(shared, "/")

    @on_a_loop
    async def test_error_of_any_other_kind(
        self, server: RedisServer, log: Log, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shared = SharedConnections(server.url)
        with monkeypatch.context() as patched:
            patched.setattr("asgi_keepalive.observers.shared.changes.member", lambda _: 1 / 0)
            added(shared, 1)
            await told(log, "WARNING")
        await seen(shared, "/")
        await told(log, "WARNING", "INFO")

    @on_a_loop
    async def test_task_that_somebody_cancels(self, server: RedisServer) -> None:
        shared = SharedConnections(server.url)
        added(shared, 1)
        await seen(shared, "/")
        [publisher] = shared._loops.values()
        assert publisher._task is not None
        publisher._task.cancel()
        await asyncio.wait([publisher._task])
        await seen(shared, "/")
        added(shared, 1)
        await seen(shared, "/", "/")

    @pytest.mark.parametrize("known", [False, True], ids=["at once", "later"])
    def test_server_can_exit_meanwhile(
        self, server: RedisServer, log: Log, attempts: list[Address], known: bool
    ) -> None:
        """It tries to take leave, unless it knows that this would be in vain."""
        shared = SharedConnections(server.url)
        before, ended = 0, 0.0

        async def main() -> None:
            nonlocal before, ended
            added(shared, 1)
            await seen(shared, "/")
            stack.enter_context(server.stopped())
            if known:
                await told(log, "WARNING")
                await asyncio.sleep(0.1)
            before, ended = len(attempts), time.monotonic()

        with ExitStack() as stack:
            asyncio.run(main())
            assert time.monotonic() - ended < 4
            assert len(attempts) - before == (not known)
            asyncio.run(shared.close())  # there is nothing left to close


class TestOthers:
    @pytest.mark.parametrize(
        "command",
        [
            ("FLUSHALL",),
            ("DEL", "PROCESS:rows"),
            ("DEL", "PROCESS:paths"),
            ("ZREM", "PROCESS:clients", "192.0.2.1:1 1"),
            ("HSET", "PROCESS:rows", "77", '["192.0.2.1:77","/ghost"]'),
        ],
        ids=lambda command: command[0] + command[-1][8:14],
    )
    @on_a_loop
    async def test_what_they_change_is_mended(
        self, server: RedisServer, log: Log, command: tuple[str, ...]
    ) -> None:
        """A replica that becomes the master may lack the last writes, too, or know old ones."""
        shared = SharedConnections(server.url)
        added(shared, 1)
        [row] = await seen(shared, "/")
        keys = f"{KEYS}:{row.process}"

        async def present() -> list[object]:
            return [
                server.ask("HKEYS", f"{keys}:rows"),
                server.ask("HGETALL", f"{keys}:paths"),
                server.ask("ZRANGE", f"{keys}:clients", 0, -1),
                server.ask("SMEMBERS", f"{KEYS}:processes"),
            ]

        before = await present()
        server.ask(*[part.replace("PROCESS", keys) for part in command])
        await until(present, lambda found: found == before)
        assert log.records == []

    @on_a_loop
    async def test_as_many_rows_as_there_should_be_but_older_ones(
        self, server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A replica that lacks the last writes has become the master."""
        monkeypatch.setattr(Changes, "_turn_over", lambda self: None)  # no row is written again
        shared = SharedConnections(server.url)
        connection = added(shared, 1, path="/older")
        added(shared, 2, path="/stays")
        await seen(shared, "/older", "/stays")
        older = [(key, server.ask("DUMP", key)) for key in server.ask("KEYS", f"{KEYS}:*:*")]
        connection.closed()
        added(shared, 3, path="/newer")
        await seen(shared, "/newer", "/stays")
        with redis.Redis.from_url(server.url) as client, client.pipeline() as transaction:
            for key, dumped in older:
                transaction.restore(key, 8000, dumped, replace=True)
            transaction.execute()
        await seen(shared, "/newer", "/stays")
        assert await shared.by_path() == {"/newer": 1, "/stays": 1}

    @on_a_loop
    async def test_process_that_is_killed(self, server: RedisServer) -> None:
        code = f"""
import asyncio
from asgi_keepalive.observers.shared import SharedConnections
from tests.support.observers import added
from tests.support.shared import seen

async def main():
    shared = SharedConnections({server.url!r}, _expiry=2)
    added(shared, 1, path="/killed")
    await seen(shared, "/killed", "/stays")
    print("seen", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
        shared = SharedConnections(server.url)
        added(shared, 1, path="/stays")
        command = [sys.executable, "-c", code]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: ASYNC220
        try:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == b"seen\n"
            await counted(2, shared)
            process.send_signal(signal.SIGKILL)
            began = time.monotonic()
            await seen(shared, "/stays")
            assert time.monotonic() - began < 2 + 0.5
            await counted(1, shared)
            [left] = await shared.by_process()
            assert left.pid == os.getpid()
            assert server.ask("SCARD", f"{KEYS}:processes") == 1
            assert len(await shared.where(client="192.0.2.1:1")) == 1
        finally:
            process.kill()
            process.communicate()

    @on_a_loop
    async def test_what_cannot_be_read_is_left_out(self, server: RedisServer) -> None:
        shared = SharedConnections(server.url)
        added(shared, 1)
        [row] = await seen(shared, "/")
        good = server.ask("GET", f"{KEYS}:{row.process}:summary")
        rows_of = server.ask("HGET", f"{KEYS}:{row.process}:rows", "1")
        server.ask("SADD", f"{KEYS}:processes", "newer", "empty", b"\xff", "odd")
        server.ask("SET", f"{KEYS}:odd:summary", "[" * 100_000)
        server.ask("SET", f"{KEYS}:newer:summary", good[:-1] + b',"more"]')
        server.ask("HSET", f"{KEYS}:newer:rows", "1", rows_of[:-1] + b',"more"]')
        bad = [b"", b"{}", b"1", b"null", b"\xff", b"[1, 2]", rows_of.replace(b"true", b"7")]
        bad += [rows_of.replace(b",[]]", b",[%b]]" % one) for one in (b'"x"', b"-1", HUGE)]
        bad += [rows_of.replace(b",20.0,", b",%b," % one) for one in (b"NaN", b"1e999", HUGE)]
        for number, raw in enumerate([*bad], start=2):
            server.ask("HSET", f"{KEYS}:newer:rows", str(number), raw)
            server.ask("ZADD", f"{KEYS}:newer:clients", "0", f"192.0.2.1:1 {number}")
        server.ask("HSET", f"{KEYS}:newer:rows", "x", rows_of)
        server.ask("HSET", f"{KEYS}:newer:paths", "/", "many", b"/\xff", "1", "/few", "-1")
        failures = [
            b"[]",
            b'["p","h",1,1,"c","/",1.5,[],"unknown",1,null,null,null,0,null,null]',
            b'["p","h",1,1,"c","/",1.5,[[1]],"silent",1,null,null,null,0,null,null]',
            b'["p","h",1,1,"c","/",1.5,[],"silent",null,null,null,null,0,null,null]',
            b'["p","h",1,1,"c","/",1.5,[],"frozen",1,null,null,null,0,null,null]',
            b'["p","h",1,1,"c","/",1.5,[[1,NaN]],"silent",1,null,null,null,0,null,null]',
            b'["p","h",1,1,"c","/",1.5,[[1,%b]],"silent",1,null,null,null,0,null,null]' % HUGE,
            b'["p","h",1,1,"c","/good",1.5,[],"silent",1,null,null,null,0,null,null]',
        ]
        for raw in failures:
            server.ask("ZADD", f"{KEYS}:failures", "1", raw)
        server.ask("ZADD", f"{KEYS}:failures", "inf", failures[-1].replace(b"good", b"never"))
        found = await seen(shared, "/", "/")
        assert {one.process for one in found} == {row.process, "newer"}
        assert await shared.by_path() == {"/": 1, "/\ufffd": 1}
        assert len(await shared.by_process()) == 2
        assert len(await shared.where(client="192.0.2.1:1")) == 1
        assert [one.path for one in await shared.failures()] == ["/good"]
        server.ask("SET", f"{KEYS}:turn", "another process")
        server.ask("SET", f"{KEYS}:total", "-5")
        await counted(0, shared)
