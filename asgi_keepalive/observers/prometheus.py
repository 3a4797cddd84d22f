"""Metrics for Prometheus: `pip install asgi-keepalive[prometheus]`."""

from __future__ import annotations

from typing import get_args

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from ..extension import Scope
from ..verdict import Reason, Verdict
from . import Observer
from .metrics import BUCKETS, route


class PrometheusMetrics:
    """Counts what happens: `KeepaliveMiddleware(app, observers=[PrometheusMetrics()])`.

    | metric | type | |
    |---|---|---|
    | `asgi_keepalive_connections` | gauge | open connections |
    | `asgi_keepalive_pings_total` | counter | Pings written |
    | `asgi_keepalive_pongs_total` | counter | Pongs that answered one |
    | `asgi_keepalive_failures_total` | counter | connections failed, by `verdict` |
    | `asgi_keepalive_latency_seconds` | histogram | from a Ping to its Pong |

    All have the label `path`, the template of the route, or `unknown`. It works in the multiprocess
    mode of `prometheus_client`, too.

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
        return _Metrics(self, route(scope) or "unknown")


class _Metrics(Observer):
    def __init__(self, metrics: PrometheusMetrics, path: str) -> None:
        self._connections = metrics._connections.labels(path)
        self._pings = metrics._pings.labels(path)
        self._pongs = metrics._pongs.labels(path)
        self._latency = metrics._latency.labels(path)
        # All reasons are there at once, so that a rate is known from the first failure on.
        self._failures = {
            reason: metrics._failures.labels(path, reason) for reason in get_args(Reason)
        }

    def opened(self) -> None:
        self._connections.inc()

    def pinged(self) -> None:
        self._pings.inc()

    def ponged(self, latency: float) -> None:
        self._pongs.inc()
        self._latency.observe(latency)

    def failed(self, verdict: Verdict) -> None:
        self._failures[verdict.reason].inc()

    def closed(self) -> None:
        self._connections.dec()
