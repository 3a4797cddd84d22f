"""Metrics: Prometheus by scraping a real exporter, OpenTelemetry by a reader in memory."""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.observers.metrics import BUCKETS
from asgi_keepalive.observers.opentelemetry import OpenTelemetryMetrics
from asgi_keepalive.observers.prometheus import PrometheusMetrics

from ..support.applications import until_told
from ..support.client import CLOSE, Client
from ..support.fake_loop import FakeServer, Puppet, in_no_time, ticks
from ..support.process import started, uvicorn
from ..support.server import wait_until
from ..support.timeouts import FAILED

Samples = dict[str, float]


async def play(observer: Any) -> FakeServer:
    """Return one connection, open after three Pongs that took 1 s; another failed after one."""

    async def accepted(path: str) -> tuple[FakeServer, Puppet]:
        app = Puppet()
        wrapped = KeepaliveMiddleware(app, ping_interval=20, ping_timeout=10, observers=[observer])
        server = FakeServer(wrapped, pong_after=1, path_template=path)
        await ticks()
        return server, app

    still_open, _ = await accepted("/open")
    server, app = await accepted("/failed")
    await asyncio.sleep(25)
    server.pong_after = None
    assert await app.receive() == FAILED
    app.returns()
    await server.task
    await asyncio.sleep(65 - 50)
    return still_open


async def end_as_planned(observer: Any) -> FakeServer:
    """Return a connection that has had notice, twice; another ended by age, one in a drain."""

    async def accepted(
        path: str, app: Any = until_told, **settings: Any
    ) -> tuple[KeepaliveMiddleware, FakeServer]:
        middleware = KeepaliveMiddleware(app, ping_interval=None, observers=[observer], **settings)
        server = FakeServer(middleware, path_template=path)
        await ticks()
        return middleware, server

    _, old = await accepted("/old", max_age=10)
    await old.task
    middleware, _ = await accepted("/drained")
    await middleware.drain(1)
    app = Puppet()
    _, noticed = await accepted("/noticed", app, max_age=100, notice=50)
    await asyncio.sleep(60)
    app.keepalive.configure(max_age=90)
    await asyncio.sleep(1)
    return noticed


class TestPrometheus:
    @in_no_time
    async def test_metrics(self) -> None:
        registry = CollectorRegistry()
        _still_open = await play(PrometheusMetrics(registry))

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"asgi_keepalive_{name}", labels)

        for path, connections, pings, pongs, failures in [
            ("/open", 1, 3, 3, 0),
            ("/failed", 0, 2, 1, 1),
        ]:
            assert value("connections", path=path) == connections
            assert value("pings_total", path=path) == pings
            assert value("pongs_total", path=path) == pongs
            assert value("latency_seconds_count", path=path) == pongs
            assert value("latency_seconds_sum", path=path) == pongs
            assert value("latency_seconds_bucket", path=path, le="1.0") == pongs
            assert value("latency_seconds_bucket", path=path, le="0.5") == 0
            assert value("failures_total", path=path, verdict="silent") == failures
            for verdict in "frozen", "application behind", "stalled":
                assert value("failures_total", path=path, verdict=verdict) == 0
        assert value("connections", path="unknown") is None

    @in_no_time
    async def test_path_is_never_the_raw_one(self) -> None:
        registry = CollectorRegistry()
        app = Puppet()
        FakeServer(KeepaliveMiddleware(app, observers=[PrometheusMetrics(registry)]))
        await ticks()
        assert registry.get_sample_value("asgi_keepalive_connections", {"path": "unknown"}) == 1

    def test_one_is_enough(self) -> None:
        registry = CollectorRegistry()
        PrometheusMetrics(registry)
        with pytest.raises(ValueError, match="asgi_keepalive"):
            PrometheusMetrics(registry)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_scraped(self, tmp_path: Path, workers: int) -> None:
        environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if workers > 1 else {}
        command = uvicorn("--workers", str(workers), app="tests.support.metrics_app:app")
        with started(*command, **environment) as process:

            def scraped() -> Samples:
                url = f"http://127.0.0.1:{process.port}/metrics/"
                with urllib.request.urlopen(url, timeout=10) as answer:
                    text = answer.read().decode()
                found: Samples = {}
                for family in text_string_to_metric_families(text):
                    for sample in family.samples:
                        if sample.labels.get("path") == "/rooms/{room}":
                            key = sample.name.removeprefix("asgi_keepalive_")
                            found[key + sample.labels.get("verdict", "")] = sample.value
                return found

            stop = threading.Event()

            def answer(client: Client) -> None:
                while not stop.is_set():
                    client.answer(0.1)

            with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
                stack.callback(stop.set)

                def connected() -> Client:
                    return stack.enter_context(Client(process.port, path="/rooms/4711").open())

                for _ in range(6):
                    pool.submit(answer, connected())
                connected()  # which is silent
                leaving = connected()
                leaving.send(CLOSE, b"\x03\xe8")
                pids = {process.told()["pid"] for _ in range(8)}
                assert len(pids) <= workers
                wait_until(lambda: scraped().get("failures_totalsilent") == 1)
                stop.set()
                time.sleep(0.5)  # what counts is written to several files
                seen = scraped()
        assert seen["connections"] == 6
        assert seen["pongs_total"] >= 6 * 2
        assert seen["pings_total"] >= seen["pongs_total"] + 1
        assert seen["latency_seconds_count"] == seen["pongs_total"]
        assert 0 < seen["latency_seconds_sum"] < seen["pongs_total"] * 0.5
        assert seen["failures_totalfrozen"] == 0
        assert "Traceback" not in process.output

    @in_no_time
    async def test_planned_ends(self) -> None:
        registry = CollectorRegistry()
        _noticed = await end_as_planned(PrometheusMetrics(registry))

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"asgi_keepalive_{name}", labels)

        for path, ending, by_age, drained in [
            ("/old", 0, 1, 0),
            ("/drained", 0, 0, 1),
            ("/noticed", 1, 0, 0),
        ]:
            assert value("ending_connections", path=path) == ending
            assert value("connections", path=path) == ending
            assert value("ends_total", path=path, reason="max age") == by_age
            assert value("ends_total", path=path, reason="service restart") == drained


class TestOpenTelemetry:
    @in_no_time
    async def test_metrics(self) -> None:
        reader = InMemoryMetricReader()
        with_sdk = MeterProvider([reader])
        _still_open = await play(OpenTelemetryMetrics(with_sdk))
        data = reader.get_metrics_data()
        assert data
        [resource] = data.resource_metrics
        [scope] = resource.scope_metrics
        assert scope.scope.name == "asgi_keepalive"
        points: dict[Any, Any] = {
            (metric.name, metric.unit, point.attributes["http.route"]): point
            for metric in scope.metrics
            for point in metric.data.data_points
            if point.attributes
        }
        for path, connections, pings, pongs in ("/open", 1, 3, 3), ("/failed", 0, 2, 1):

            def point(name: str, unit: str, path: str = path) -> Any:
                return points[f"asgi_keepalive.{name}", unit, path]

            assert point("connection.count", "{connection}").value == connections
            assert point("pings", "{ping}").value == pings
            assert point("pongs", "{pong}").value == pongs
            latency = point("ping.duration", "s")
            assert (latency.count, latency.sum) == (pongs, pongs)
            assert tuple(latency.explicit_bounds) == BUCKETS
        failed = points["asgi_keepalive.connection.failures", "{connection}", "/failed"]
        assert (failed.value, failed.attributes["error.type"]) == (1, "silent")
        assert len(points) == 9
        with_sdk.shutdown()

    @in_no_time
    async def test_planned_ends(self) -> None:
        reader = InMemoryMetricReader()
        with_sdk = MeterProvider([reader])
        _noticed = await end_as_planned(OpenTelemetryMetrics(with_sdk))
        data = reader.get_metrics_data()
        assert data
        [scope] = data.resource_metrics[0].scope_metrics
        values = {
            (metric.name.rpartition(".")[2], *(point.attributes or {}).values()): point.value  # type: ignore[union-attr]
            for metric in scope.metrics
            for point in metric.data.data_points
            if metric.name in {"asgi_keepalive.connection.ending", "asgi_keepalive.connection.ends"}
        }
        assert values == {
            ("ending", "/old"): 0,
            ("ending", "/drained"): 0,
            ("ending", "/noticed"): 1,
            ("ends", "/old", "max age"): 1,
            ("ends", "/drained", "service restart"): 1,
        }
        with_sdk.shutdown()

    @in_no_time
    async def test_route_that_is_unknown_is_no_attribute(self) -> None:
        reader = InMemoryMetricReader()
        with_sdk = MeterProvider([reader])
        observers = [OpenTelemetryMetrics(with_sdk)]
        FakeServer(KeepaliveMiddleware(Puppet(), observers=observers))
        await ticks()
        data = reader.get_metrics_data()
        assert data
        [metric] = data.resource_metrics[0].scope_metrics[0].metrics
        [point] = metric.data.data_points
        assert (metric.name, dict(point.attributes or {})) == (
            "asgi_keepalive.connection.count",
            {},
        )
        with_sdk.shutdown()

    def test_without_an_sdk(self) -> None:
        observer = OpenTelemetryMetrics()({})
        observer.opened()
        observer.ponged(1)
        observer.closed()


def test_buckets() -> None:
    assert (BUCKETS[0], BUCKETS[-1]) == (0.001, 20)
    assert list(BUCKETS) == sorted(set(BUCKETS))
