"""Metrics for OpenTelemetry: `pip install asgi-keepalive[opentelemetry]`.

Only its API is needed here; an application brings the SDK and chooses where metrics go.
"""

from __future__ import annotations

from ..extension import Scope
from ..extras import needs
from ..verdict import Verdict
from . import Observer
from .metrics import BUCKETS, is_supported, route

with needs("opentelemetry"):
    from opentelemetry.metrics import MeterProvider, get_meter


class OpenTelemetryMetrics:
    """Counts Pings, Pongs, connections and failures, and measures latencies.

    Example::

        app.add_middleware(KeepaliveMiddleware, observers=[OpenTelemetryMetrics()])

    ======================================= ============= ============== =======================
    metric                                  instrument    unit           it has
    ======================================= ============= ============== =======================
    `asgi_keepalive.connection.count`       UpDownCounter `{connection}` open connections
    `asgi_keepalive.connection.unsupported` UpDownCounter `{connection}` without keepalive
    `asgi_keepalive.pings`                  Counter       `{ping}`       Pings written
    `asgi_keepalive.pongs`                  Counter       `{pong}`       Pongs that answered one
    `asgi_keepalive.connection.failures`    Counter       `{connection}` failed, by `error.type`
    `asgi_keepalive.ping.duration`          Histogram     `s`            from a Ping to its Pong
    ======================================= ============= ============== =======================

    A connection is unsupported if its server gave no access to Pings when it was opened; the count
    of connections includes it. All metrics have the attribute `http.route`, if the framework tells
    it; `error.type` is the reason of the verdict. Names and units follow OpenTelemetry's semantic
    conventions, and these attributes are theirs.

    Args:
        meter_provider: Where the instruments are made; `None` is the global one.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        meter = get_meter("asgi_keepalive", meter_provider=meter_provider)
        self._connections = meter.create_up_down_counter(
            "asgi_keepalive.connection.count", "{connection}", "Open WebSocket connections."
        )
        self._unsupported = meter.create_up_down_counter(
            "asgi_keepalive.connection.unsupported",
            "{connection}",
            "Open WebSocket connections whose server gives no access to Pings.",
        )
        self._pings = meter.create_counter("asgi_keepalive.pings", "{ping}", "Pings written.")
        self._pongs = meter.create_counter(
            "asgi_keepalive.pongs", "{pong}", "Pongs that answered a Ping."
        )
        self._failures = meter.create_counter(
            "asgi_keepalive.connection.failures",
            "{connection}",
            "Connections failed because a Pong was overdue.",
        )
        self._latency = meter.create_histogram(
            "asgi_keepalive.ping.duration",
            "s",
            "From a Ping to its Pong.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )

    def __call__(self, scope: Scope) -> Observer:
        """Return the observer of one connection."""
        return _Metrics(self, route(scope), is_supported(scope))


class _Metrics(Observer):
    def __init__(self, metrics: OpenTelemetryMetrics, path: str | None, supported: bool) -> None:
        self._metrics = metrics
        self._counters = [metrics._connections]
        if not supported:
            self._counters.append(metrics._unsupported)
        self._attributes = {} if path is None else {"http.route": path}

    def opened(self) -> None:
        for counter in self._counters:
            counter.add(1, self._attributes)

    def pinged(self) -> None:
        self._metrics._pings.add(1, self._attributes)

    def ponged(self, latency: float) -> None:
        self._metrics._pongs.add(1, self._attributes)
        self._metrics._latency.record(latency, self._attributes)

    def failed(self, verdict: Verdict) -> None:
        why = {**self._attributes, "error.type": verdict.reason}
        self._metrics._failures.add(1, why)

    def closed(self) -> None:
        for counter in self._counters:
            counter.add(-1, self._attributes)
