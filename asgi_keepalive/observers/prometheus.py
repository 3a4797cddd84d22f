"""Metrics for Prometheus: `pip install asgi-keepalive[prometheus]`."""

from __future__ import annotations

from typing import get_args

from ..extension import Scope
from ..extras import needs
from ..verdict import Reason, Verdict
from . import Observer
from .metrics import BUCKETS, is_supported, route

with needs("prometheus"):
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram


class PrometheusMetrics:
    """Counts Pings, Pongs, connections and failures, and measures latencies.

    Example::

        app.add_middleware(KeepaliveMiddleware, observers=[PrometheusMetrics()])

    ======================================== ========= ================================
    metric                                   type      it has
    ======================================== ========= ================================
    `asgi_keepalive_connections`             gauge     open connections
    `asgi_keepalive_unsupported_connections` gauge     those of them without keepalive
    `asgi_keepalive_pings_total`             counter   Pings written
    `asgi_keepalive_pongs_total`             counter   Pongs that answered one
    `asgi_keepalive_failures_total`          counter   connections failed, by `verdict`
    `asgi_keepalive_latency_seconds`         histogram from a Ping to its Pong
    ======================================== ========= ================================

    A connection is unsupported if its server gave no access to Pings when it was opened. All
    metrics have the label `path`, the template of the route, or `unknown`. It works in the
    multiprocess mode of `prometheus_client`, too.

    Args:
        registry: Where the metrics are registered.

    Raises:
        ValueError: The registry has such metrics already; one object is enough.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        path = ("path",)
        self._connections = Gauge(
            "asgi_keepalive_connections",
            "Open WebSocket connections",
            path,
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._unsupported = Gauge(
            "asgi_keepalive_unsupported_connections",
            "Open WebSocket connections whose server gives no access to Pings",
            path,
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._pings = Counter("asgi_keepalive_pings", "Pings written", path, registry=registry)
        self._pongs = Counter(
            "asgi_keepalive_pongs", "Pongs that answered a Ping", path, registry=registry
        )
        self._failures = Counter(
            "asgi_keepalive_failures",
            "Connections failed because a Pong was overdue",
            ("path", "verdict"),
            registry=registry,
        )
        self._latency = Histogram(
            "asgi_keepalive_latency_seconds",
            "From a Ping to its Pong",
            path,
            registry=registry,
            buckets=BUCKETS,
        )

    def __call__(self, scope: Scope) -> Observer:
        """Return the observer of one connection."""
        return _Metrics(self, route(scope) or "unknown", is_supported(scope))


class _Metrics(Observer):
    def __init__(self, metrics: PrometheusMetrics, path: str, supported: bool) -> None:
        # All metrics are there at once, so that a rate is known from the first event on.
        unsupported = metrics._unsupported.labels(path)
        self._gauges = [metrics._connections.labels(path)]
        if not supported:
            self._gauges.append(unsupported)
        self._pings = metrics._pings.labels(path)
        self._pongs = metrics._pongs.labels(path)
        self._latency = metrics._latency.labels(path)
        self._failures = {
            reason: metrics._failures.labels(path, reason) for reason in get_args(Reason)
        }

    def opened(self) -> None:
        for gauge in self._gauges:
            gauge.inc()

    def pinged(self) -> None:
        self._pings.inc()

    def ponged(self, latency: float) -> None:
        self._pongs.inc()
        self._latency.observe(latency)

    def failed(self, verdict: Verdict) -> None:
        self._failures[verdict.reason].inc()

    def closed(self) -> None:
        for gauge in self._gauges:
            gauge.dec()
