"""Observers of connections that are not supported: they are told, and nothing else changes."""

from __future__ import annotations

import asyncio
import sys
import urllib.request
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from asgi_keepalive import KeepaliveMiddleware, Observer, get_keepalive
from asgi_keepalive.dashboard import Dashboard
from asgi_keepalive.extension import Scope
from asgi_keepalive.observers.live import LiveConnections
from asgi_keepalive.observers.opentelemetry import OpenTelemetryMetrics
from asgi_keepalive.observers.prometheus import PrometheusMetrics

from ..support.client import CLOSE, Client
from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, Puppet, in_no_time, ticks
from ..support.middleware import Recorder, unused
from ..support.observers import Notes, observed
from ..support.process import started
from ..support.server import wait_until


async def unsupported(*observers: Any, **scope: Any) -> tuple[FakeServer, Puppet]:
    app = Puppet()
    wrapped = KeepaliveMiddleware(app, observers=observers)
    server = FakeServer(wrapped, extensions={}, **scope)
    await ticks()
    return server, app


class TestWhatTheyAreTold:
    @pytest.mark.parametrize("how", ["returns", "close", "disconnect"])
    @in_no_time
    async def test_opened_and_closed(self, how: str) -> None:
        notes = Notes()
        server, app = await unsupported(notes)
        await app.send({"type": "websocket.accept"})  # once more, which changes nothing
        await asyncio.sleep(25)
        assert notes.taken == [(0, "opened")]
        assert notes.scopes[0] is app.scope
        assert not get_keepalive(notes.scopes[0]).supported
        if how == "returns":
            app.returns()
        elif how == "close":
            await app.close()
        else:
            server.disconnect(1000)
            await app.receive()
        await ticks()
        assert notes.taken == [(0, "opened"), (25, "closed")]
        app.returns()
        await server.task
        assert len(notes.taken) == 2

    @in_no_time
    async def test_closed_comes_before_a_close_that_blocks(self) -> None:
        notes = Notes()
        server, app = await unsupported(notes)
        server.writable.clear()
        closing = asyncio.create_task(app.close())
        await ticks()
        assert [what for _, what in notes.taken] == ["opened", "closed"]
        closing.cancel()

    @pytest.mark.parametrize("error", [ValueError("mine"), asyncio.CancelledError("mine")])
    @in_no_time
    async def test_application_that_raises(self, error: BaseException) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})
            raise error

        async def outside(scope: Any, receive: Any, send: Any) -> None:
            with pytest.raises(type(error)) as raised:
                await KeepaliveMiddleware(app, observers=[notes])(scope, receive, send)
            assert raised.value is error

        notes = Notes()
        await FakeServer(outside, extensions={}).task
        assert notes.taken == [(0, "opened"), (0, "closed")]

    @pytest.mark.parametrize("kind", ["websocket.close", "websocket.http.response.start"])
    @in_no_time
    async def test_nothing_of_what_is_never_accepted(self, kind: str) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": kind})

        notes = Notes()
        await FakeServer(KeepaliveMiddleware(app, observers=[notes]), extensions={}).task
        assert (notes.taken, notes.scopes) == ([], [])

    @in_no_time
    async def test_nothing_of_an_accept_that_fails(self) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            with pytest.raises(ConnectionError):
                await send({"type": "websocket.accept"})

        notes = Notes()
        server = FakeServer(KeepaliveMiddleware(app, observers=[notes]), extensions={})
        server.is_open = False
        await server.task
        assert notes.taken == []

    @in_no_time
    async def test_nothing_of_an_accept_after_the_end(self) -> None:
        notes = Notes()
        server, app = await unsupported(notes)
        await app.close()
        server.is_open = True
        await app.send({"type": "websocket.accept"})
        assert len(notes.taken) == 2

    @in_no_time
    async def test_one_that_raises_harms_nobody(self) -> None:
        def raising(scope: Scope) -> Observer:
            raise ZeroDivisionError

        notes = Notes()
        _, app = await unsupported(raising, notes)
        await app.close()
        assert [what for _, what in notes.taken] == ["opened", "closed"]


class TestNothingElseChanges:
    @in_no_time
    async def test_events_are_the_same(self) -> None:
        server, app = await unsupported(Notes())
        event = server.text("x")
        assert await app.receive() is event
        sent = {"type": "websocket.send", "text": "y"}
        await app.send(sent)
        assert server.sent[-1] is sent
        assert app.scope is server.scope
        assert list(app.scope["state"]) == ["keepalive"]

    @in_no_time
    async def test_errors_are_the_same(self) -> None:
        server, app = await unsupported(Notes())
        error = KeyError("mine")
        server.incoming.put_nowait(error)
        with pytest.raises(KeyError) as raised:
            await app.receive()
        assert raised.value is error
        with pytest.raises(TypeError):  # from the server, which alone judges what is sent
            await app.send(None)

    @in_no_time
    async def test_without_observers_the_calls_are_the_servers_own(self) -> None:
        app = Recorder()
        wrapped = KeepaliveMiddleware(KeepaliveMiddleware(app))
        await wrapped({"type": "websocket"}, unused, unused)
        [(_, receive, send)] = app.calls
        assert (receive, send) == (unused, unused)


class TestTwoMiddlewares:
    @pytest.mark.parametrize("outside", [True, False])
    @in_no_time
    async def test_all_are_told_once(self, outside: bool) -> None:
        outer, inner, both = Notes(), Notes(), Notes()
        app = Puppet()
        wrapped = KeepaliveMiddleware(app, observers=[inner, both])
        wrapped = KeepaliveMiddleware(wrapped, observers=[outer, both] if outside else [])
        server = FakeServer(wrapped, extensions={})
        await ticks()
        app.returns()
        await server.task
        expected = [(0, "opened"), (0, "closed")]
        assert inner.taken == both.taken == expected
        assert outer.taken == (expected if outside else [])

    @in_no_time
    async def test_inner_one_around_a_connection_that_is_open_already(self) -> None:
        async def router(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(25)
            await KeepaliveMiddleware(app, observers=[inner])(scope, receive, send)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        outer, inner = Notes(), Notes()
        server = FakeServer(KeepaliveMiddleware(router, observers=[outer]), extensions={})
        await asyncio.sleep(45)
        server.disconnect(1000)
        await server.task
        assert outer.taken == [(0, "opened"), (45, "closed")]
        assert inner.taken == [(25, "opened"), (45, "closed")]


class TestMarks:
    @in_no_time
    async def test_prometheus(self) -> None:
        registry = CollectorRegistry()
        metrics = PrometheusMetrics(registry)

        def values(path: str) -> list[float | None]:
            return [
                registry.get_sample_value(f"asgi_keepalive_{name}", {"path": path})
                for name in ("connections", "unsupported_connections")
            ]

        server, _ = await observed(metrics)
        _, app = await unsupported(metrics, path_template="/off")
        assert values("unknown") == [1, 0]
        assert values("/off") == [1, 1]
        await app.close()
        assert values("/off") == [0, 0]
        server.closing()

    @in_no_time
    async def test_opentelemetry(self) -> None:
        def values() -> dict[str, Any]:
            data = reader.get_metrics_data()
            assert data
            [scope] = data.resource_metrics[0].scope_metrics
            return {
                metric.name.removeprefix("asgi_keepalive.connection."): point.value  # type: ignore[union-attr]
                for metric in scope.metrics
                for point in metric.data.data_points
            }

        reader = InMemoryMetricReader()
        provider = MeterProvider([reader])
        _, app = await unsupported(OpenTelemetryMetrics(provider))
        assert values() == {"count": 1, "unsupported": 1}
        await app.close()
        assert values() == {"count": 0, "unsupported": 0}
        provider.shutdown()

    @in_no_time
    async def test_live(self) -> None:
        live = LiveConnections()
        _, app = await unsupported(live)
        [connection] = live
        assert connection.state == "unsupported"
        assert not connection.is_late
        told = TestClient(Starlette(routes=[Mount("/at", Dashboard(live))]))
        answer = told.get("/at/connections.json").json()
        assert (answer["total"], answer["late"], answer["unsupported"]) == (1, 0, 1)
        assert answer["connections"][0]["state"] == "unsupported"
        await app.close()
        assert list(live) == []

    @in_no_time
    async def test_live_where_pings_have_been_refused(self) -> None:
        def refuse() -> None:
            raise RuntimeError

        live = LiveConnections()
        server, _ = await observed(live)
        server.on_ping = refuse
        await asyncio.sleep(3 * TIMES["ping_interval"])
        [connection] = live
        assert connection.state == "unsupported"


@pytest.mark.skipif(sys.platform == "win32", reason="starts POSIX processes")
def test_on_granian() -> None:
    app = "tests.support.metrics_app:app"
    command = [sys.executable, "-m", "granian", app, "--interface", "asgi", "--port", "PORT"]

    def values() -> list[float]:
        url = f"http://127.0.0.1:{process.port}/metrics/"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return [
            float(line.rpartition(" ")[2])
            for line in lines
            if 'connections{path="/rooms/{room}"}' in line
        ]

    with started(*command) as process:
        with Client(process.port, path="/rooms/4711").open() as client:
            process.told()
            wait_until(lambda: values() == [1, 1, 0])
            client.send(CLOSE, b"\x03\xe8")
            wait_until(lambda: values() == [0, 0, 0])
        assert "Traceback" not in process.output
