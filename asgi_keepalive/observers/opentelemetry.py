"""Metrics for OpenTelemetry: `pip install asgi-keepalive[opentelemetry]`.

Only its API is needed here; an application brings the SDK and chooses where metrics go.
"""

from __future__ import annotations

from ..extension import Scope
from ..extras import needs
from ..scopes import find_keepalive
from ..state import Keepalive
from ..verdict import Verdict
from . import Observer
from .metrics import BUCKETS, route

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
    `asgi_keepalive.connection.ending`      UpDownCounter `{connection}` that have had notice
    `asgi_keepalive.connection.ends`        Counter       `{connection}` ended as planned
    `asgi_keepalive.ping.duration`          Histogram     `s`            from a Ping to its Pong
    ======================================= ============= ============== =======================

    Ends are those that were planned: `asgi_keepalive.reason` is `max age`, or `service restart` in
    a drain. A connection is unsupported if its server gave no access to Pings when it was opened;
    the count of connections includes it. All metrics have the attribute `http.route`, if the
    framework tells it; `error.type` is the reason of the verdict. Names and units follow
    OpenTelemetry's semantic conventions, and these two attributes are theirs.

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
        self._ending = meter.create_up_down_counter(
            "asgi_keepalive.connection.ending",
            "{connection}",
            "Open WebSocket connections whose end is planned, and which have had notice of it.",
        )
        self._ends = meter.create_counter(
            "asgi_keepalive.connection.ends",
            "{connection}",
            "Connections closed as planned, by their age or in a drain.",
        )
        self._latency = meter.create_histogram(
            "asgi_keepalive.ping.duration",
            "s",
            "From a Ping to its Pong.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )

    def __call__(self, scope: Scope) -> Observer:
        """Return the observer of one connection."""
        return _Metrics(self, route(scope), find_keepalive(scope))


class _Metrics(Observer):
    def __init__(
        self, metrics: OpenTelemetryMetrics, path: str | None, keepalive: Keepalive | None
    ) -> None:
        self._metrics = metrics
        self._counters = [metrics._connections]
        self._keepalive = keepalive
        if keepalive is not None and not keepalive.supported:
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

    def ending(self, deadline: float) -> None:
        ending = self._metrics._ending
        if ending not in self._counters:
            ending.add(1, self._attributes)
            self._counters.append(ending)

    def closed(self) -> None:
        for counter in self._counters:
            counter.add(-1, self._attributes)
        if self._keepalive is not None and self._keepalive._ended is not None:
            why = {**self._attributes, "asgi_keepalive.reason": self._keepalive._ended}
            self._metrics._ends.add(1, why)
