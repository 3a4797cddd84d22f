"""Observers: what they are told, when, and that they harm nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import weakref
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, Observer, Verdict, get_keepalive
from asgi_keepalive.extension import Scope
from asgi_keepalive.servers.kernel import reset_on_close

from .conftest import LOOPS, Reports
from .support.applications import accept, echo
from .support.client import CLOSE, PING, PONG, TEXT, Client
from .support.fake_loop import FakeServer, Puppet, elapsed, fake_loop, in_no_time, ticks
from .support.server import running
from .support.serving import serving
from .support.timeouts import FAILED

TIMES: dict[str, Any] = {"ping_interval": 20, "ping_timeout": 10}


class Notes:
    """Observes connections: `observers=[Notes()]`."""

    def __init__(self) -> None:
        self.taken: list[tuple[Any, ...]] = []
        self.scopes: list[Scope] = []

    def __call__(self, scope: Scope) -> Observer:
        self.scopes.append(scope)
        return _Notes(self.taken)


class _Notes(Observer):
    def __init__(self, taken: list[tuple[Any, ...]]) -> None:
        self._taken = taken

    def opened(self) -> None:
        self._take("opened")

    def pinged(self) -> None:
        self._take("pinged")

    def ponged(self, latency: float) -> None:
        self._take("ponged", latency)

    def failed(self, verdict: Verdict) -> None:
        self._take("failed", verdict)

    def closed(self) -> None:
        self._take("closed")

    def _take(self, *what: Any) -> None:
        self._taken.append((elapsed(), *what))


async def observed(
    *observers: Any, pong_after: float | None = 1, **settings: Any
) -> tuple[FakeServer, Puppet]:
    app = Puppet()
    wrapped = KeepaliveMiddleware(app, observers=observers, **{**TIMES, **settings})
    server = FakeServer(wrapped, pong_after=pong_after)
    await ticks()
    return server, app


class TestWhatTheyAreTold:
    @in_no_time
    async def test_pings_and_pongs(self) -> None:
        notes = Notes()
        server, app = await observed(notes)
        await asyncio.sleep(45)
        assert notes.taken == [
            (0, "opened"),
            (20, "pinged"),
            (21, "ponged", 1),
            (40, "pinged"),
            (41, "ponged", 1),
        ]
        assert notes.scopes == [app.scope]
        assert notes.scopes[0] is app.scope
        server.pong_after = 2
        await app.keepalive.ping()
        assert notes.taken[5:] == [(45, "pinged"), (47, "ponged", 2)]

    @in_no_time
    async def test_pong_that_acknowledges_several(self) -> None:
        notes = Notes()
        server, app = await observed(notes, pong_after=None)
        pings = [asyncio.create_task(app.keepalive.ping()) for _ in range(2)]
        await asyncio.sleep(1)
        server.pong(server.pings[1]["bytes"])
        await asyncio.gather(*pings)
        assert [what for _, what, *_ in notes.taken] == ["opened", "pinged", "pinged", "ponged"]
        server.pong(b"nobody's")
        assert len(notes.taken) == 4

    @in_no_time
    async def test_failure(self) -> None:
        notes = Notes()
        _, app = await observed(notes, pong_after=None)
        assert await app.receive() == FAILED
        app.returns()
        await ticks()
        verdict = app.keepalive.verdict
        assert verdict
        assert notes.taken[2:] == [(30, "failed", verdict), (30, "closed")]

    @pytest.mark.parametrize("how", ["returns", "close", "disconnect", "lost"])
    @in_no_time
    async def test_closed_comes_once(self, how: str) -> None:
        notes = Notes()
        server, app = await observed(notes)
        await asyncio.sleep(25)
        if how == "returns":
            app.returns()
        elif how == "close":
            await app.close()
        elif how == "disconnect":
            server.disconnect(1000)
            await app.receive()
        else:
            server.pong(None)
        await ticks()
        assert notes.taken[3:] == [(25, "closed")]
        app.returns()
        await server.task
        assert len(notes.taken) == 4

    @in_no_time
    async def test_nothing_of_what_is_never_accepted(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.close"})

        notes = Notes()
        await FakeServer(KeepaliveMiddleware(app, observers=[notes])).task
        assert (notes.taken, notes.scopes) == ([], [])

    @in_no_time
    async def test_without_an_interval_that_it_opens_and_closes(self) -> None:
        notes = Notes()
        server, app = await observed(notes, ping_interval=None)
        await asyncio.sleep(100)
        app.returns()
        await server.task
        assert notes.taken == [(0, "opened"), (100, "closed")]

    @in_no_time
    async def test_nothing_where_nothing_is_supported(self) -> None:
        notes = Notes()
        app = Puppet()
        server = FakeServer(KeepaliveMiddleware(app, observers=[notes]), extensions={})
        await ticks()
        app.returns()
        await server.task
        assert notes.taken == []


class TestWhatTheyMayDo:
    @in_no_time
    async def test_change_the_settings(self) -> None:
        """Adaptive keepalive, for instance."""

        class Adapting(Observer):
            def __init__(self, scope: Scope) -> None:
                self.keepalive = get_keepalive(scope)

            def opened(self) -> None:
                self.keepalive.configure(ping_interval=1)

            def ponged(self, latency: float) -> None:
                interval = self.keepalive.ping_interval
                assert interval is not None
                self.keepalive.configure(ping_interval=2 * interval)

            def closed(self) -> None:
                self.keepalive.configure(ping_interval=1)

        server, app = await observed(Adapting, pong_after=0.1)
        await asyncio.sleep(20)
        assert server.pinged_at == pytest.approx([1, 3, 7, 15])
        app.returns()
        await server.task
        await asyncio.sleep(50)
        assert len(server.pings) == 4

    @pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
    @in_no_time
    async def test_raise(
        self, caplog: pytest.LogCaptureFixture, error: type[BaseException]
    ) -> None:
        class Raising(Observer):
            def __init__(self, scope: Scope) -> None:
                pass

            def __getattribute__(self, name: str) -> Any:
                if name in vars(Observer):
                    raise error(name)
                return super().__getattribute__(name)

            def __repr__(self) -> str:
                return "mine"

        def broken(scope: Scope) -> Observer:
            raise error("broken")

        caplog.set_level(logging.WARNING, "asgi_keepalive")
        notes = Notes()
        server, app = await observed(Raising, broken, notes)
        await asyncio.sleep(25)
        server.pong_after = None
        assert await app.receive() == FAILED
        app.returns()
        await server.task
        assert [what for _, what, *_ in notes.taken] == [
            *("opened", "pinged", "ponged", "pinged", "failed", "closed"),
        ]
        told = [record for record in caplog.records if record.exc_info]
        assert [record.getMessage() for record in told][2:] == [
            f"mine failed to observe that a connection {what}"
            for what in ("pinged", "ponged", "pinged", "failed", "closed")
        ]
        assert told[0].getMessage() == f"{Raising!r} failed to observe a connection"
        assert told[1].getMessage() == f"{broken!r} failed to observe a connection"
        assert {record.exc_info[0] for record in told if record.exc_info} == {error}

    @in_no_time
    async def test_override_nothing(self) -> None:
        server, app = await observed(lambda scope: Observer(), pong_after=None)
        assert await app.receive() == FAILED
        app.returns()
        await server.task


class TestTwoMiddlewares:
    @in_no_time
    async def test_both_are_told(self) -> None:
        outer, inner, both = Notes(), Notes(), Notes()
        app = Puppet()
        wrapped = KeepaliveMiddleware(app, observers=[inner, both], **TIMES)
        wrapped = KeepaliveMiddleware(wrapped, observers=[outer, both])
        FakeServer(wrapped, pong_after=1)
        await asyncio.sleep(25)
        expected = [(0, "opened"), (20, "pinged"), (21, "ponged", 1)]
        assert outer.taken == inner.taken == both.taken == expected

    @in_no_time
    async def test_inner_one_around_a_connection_that_is_open_already(self) -> None:
        async def router(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(25)
            await KeepaliveMiddleware(app, observers=[notes], **TIMES)(scope, receive, send)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        notes = Notes()
        server = FakeServer(KeepaliveMiddleware(router, **TIMES), pong_after=1)
        await asyncio.sleep(45)
        server.disconnect(1000)
        await server.task
        assert notes.taken == [
            (25, "opened"),
            (40, "pinged"),
            (41, "ponged", 1),
            (45, "closed"),
        ]

    @in_no_time
    async def test_on_an_unsupported_server(self) -> None:
        notes = Notes()
        app = Puppet()
        wrapped = KeepaliveMiddleware(KeepaliveMiddleware(app, observers=[notes]))
        server = FakeServer(wrapped, extensions={})
        await ticks()
        app.returns()
        await server.task
        assert notes.taken == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (5, "observers must be a list of callables, not 5"),
        (
            [Notes, "mine"],
            "observers must be callables, which take a scope and return an Observer, not 'mine'",
        ),
    ],
)
def test_what_is_no_observer_is_refused(
    given: Any, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TypeError) as raised:
        KeepaliveMiddleware(echo, observers=given)
    assert str(raised.value) == text
    assert caplog.messages == [text]


class TestPeerThatLeavesBeforeTheFirstPing:
    @pytest.mark.parametrize("ping_interval", [20, None])
    @in_no_time
    async def test_is_told_at_once(self, ping_interval: float | None) -> None:
        notes = Notes()
        server, _ = await observed(notes, ping_interval=ping_interval)
        await asyncio.sleep(3)
        server.pong(None)
        assert notes.taken == [(0, "opened"), (3, "closed")]
        assert fake_loop().timers() == []

    @in_no_time
    async def test_even_while_the_application_accepts(self) -> None:
        notes = Notes()
        app = Puppet()
        server = FakeServer(KeepaliveMiddleware(app, observers=[notes], **TIMES))
        server.on_accept = lambda: server.pong(None)
        await asyncio.sleep(3)
        assert notes.taken == [(0, "opened"), (0, "closed")]
        assert fake_loop().timers() == []
        await app.send({"type": "websocket.accept"})  # once more, which changes nothing
        assert len(notes.taken) == 2
        assert fake_loop().timers() == []

    @in_no_time
    async def test_on_a_server_that_learns_whom_to_tell_from_the_first_ping(self) -> None:
        """It offers the first version of the extension."""
        notes = Notes()
        app = Puppet()
        wrapped = KeepaliveMiddleware(app, observers=[notes], **TIMES)
        server = FakeServer(wrapped, is_older=True, pong_after=1)
        await asyncio.sleep(30)
        assert server.pinged_at == [20]
        assert app.keepalive.latency == 1
        server.pong(None)
        assert notes.taken[-1] == (30, "closed")


@in_no_time
async def test_nothing_is_left_behind() -> None:
    made: list[weakref.ref[Observer]] = []

    def noting(scope: Scope) -> Observer:
        observer = Observer()
        made.append(weakref.ref(observer))
        return observer

    server, app = await observed(noting)
    gc.disable()
    try:
        app.returns()
        await server.task
        assert [reference() for reference in made] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("how", ["reset", "FIN", "close"])
def test_peer_that_leaves_before_the_first_ping(
    ws: str, loop: str, how: str, reports: Reports
) -> None:
    """Of an application that is busy, and does not receive."""

    class Telling(Observer):
        def __init__(self, scope: Scope) -> None:
            pass

        def opened(self) -> None:
            reports.put("opened")

        def closed(self) -> None:
            reports.put("closed")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await over.wait()

    for ping_interval in 20, None:
        wrapped = KeepaliveMiddleware(
            app, ping_interval=ping_interval, observers=[Telling], close_timeout=0.1
        )
        over = asyncio.Event()
        with running(serving(wrapped, ws=ws, loop=loop)) as server:
            with Client(server.port).open() as client:
                assert reports.get() == "opened"
                if how == "reset":
                    reset_on_close(client.socket)
                    client.close()
                elif how == "FIN":
                    client.socket.shutdown(socket.SHUT_WR)
                else:
                    client.send(CLOSE, b"\x03\xe8")
                assert reports.get() == "closed"
            server.run(over.set)


@pytest.mark.parametrize("loop", LOOPS)
def test_on_real_servers(ws: str, loop: str, reports: Reports) -> None:
    class Telling(Observer):
        def __init__(self, scope: Scope) -> None:
            self._path = scope["path"]

        def opened(self) -> None:
            reports.put(("opened", self._path))

        def ponged(self, latency: float) -> None:
            reports.put(("ponged", 0 < latency < 5))

        def failed(self, verdict: Verdict) -> None:
            reports.put(("failed", verdict.reason))

        def closed(self) -> None:
            reports.put("closed")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        while (await receive())["type"] == "websocket.receive":
            pass

    wrapped = KeepaliveMiddleware(app, ping_interval=0.2, ping_timeout=0.3, observers=[Telling])
    with running(serving(wrapped, ws=ws, loop=loop)) as server:
        with Client(server.port, path="/leaves").open() as client:
            client.send(PONG, client.expect(PING))
            assert reports.get() == ("opened", "/leaves")
            assert reports.get() == ("ponged", True)
            client.send(TEXT, b"x")
            client.send(CLOSE, b"\x03\xe8")
            assert reports.get() == "closed"
        with Client(server.port, path="/silent").open():
            assert reports.get() == ("opened", "/silent")
            assert reports.get() == ("failed", "silent")
            assert reports.get() == "closed"
