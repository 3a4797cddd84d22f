"""Metrics for Prometheus: `pip install asgi-keepalive[prometheus]`."""

from __future__ import annotations

from typing import get_args

from ..extension import Scope
from ..extras import needs
from ..planned import WHYS
from ..scopes import find_keepalive
from ..state import Keepalive
from ..verdict import Reason, Verdict
from . import Observer
from .metrics import BUCKETS, route

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
    `asgi_keepalive_ending_connections`      gauge     open connections that have had notice
    `asgi_keepalive_ends_total`              counter   connections ended, by `reason`
    ======================================== ========= ================================

    Ends are those that were planned: the reason is `max age`, or `service restart` in a drain.
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
        self._ending = Gauge(
            "asgi_keepalive_ending_connections",
            "Open WebSocket connections whose end is planned, and which have had notice of it",
            path,
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._ends = Counter(
            "asgi_keepalive_ends",
            "Connections closed as planned, by their age or in a drain",
            ("path", "reason"),
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
        return _Metrics(self, route(scope) or "unknown", find_keepalive(scope))


class _Metrics(Observer):
    def __init__(self, metrics: PrometheusMetrics, path: str, keepalive: Keepalive | None) -> None:
        # All metrics are there at once, so that a rate is known from the first event on.
        unsupported = metrics._unsupported.labels(path)
        self._gauges = [metrics._connections.labels(path)]
        if keepalive is not None and not keepalive.supported:
            self._gauges.append(unsupported)
        self._pings = metrics._pings.labels(path)
        self._pongs = metrics._pongs.labels(path)
        self._latency = metrics._latency.labels(path)
        self._failures = {
            reason: metrics._failures.labels(path, reason) for reason in get_args(Reason)
        }
        self._ending = metrics._ending.labels(path)
        self._ends = {why.reason: metrics._ends.labels(path, why.reason) for why in WHYS}
        self._keepalive = keepalive

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

    def ending(self, deadline: float) -> None:
        if self._ending not in self._gauges:
            self._ending.inc()
            self._gauges.append(self._ending)

    def closed(self) -> None:
        for gauge in self._gauges:
            gauge.dec()
        if self._keepalive is not None and self._keepalive._ended is not None:
            self._ends[self._keepalive._ended].inc()
