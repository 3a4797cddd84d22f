"""What stands between: each function returns an application, and what tells what was seen of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware

from . import frameworks

Made = tuple[Any, Callable[[], list[str]]]


def load(module: str, name: str) -> Any:
    """Return something of a package that only the dependency group `instrumentation` installs."""
    return getattr(import_module(module), name)


# OpenTelemetry


def _spans() -> tuple[Any, Callable[[], list[str]]]:
    """Return a processor that keeps spans, and what returns their names."""
    SimpleSpanProcessor = load("opentelemetry.sdk.trace.export", "SimpleSpanProcessor")
    InMemorySpanExporter = load(
        "opentelemetry.sdk.trace.export.in_memory_span_exporter", "InMemorySpanExporter"
    )

    exporter = InMemorySpanExporter()
    return SimpleSpanProcessor(exporter), lambda: [
        span.name for span in exporter.get_finished_spans()
    ]


def _tracing() -> Callable[[], list[str]]:
    trace = load("opentelemetry", "trace")
    TracerProvider = load("opentelemetry.sdk.trace", "TracerProvider")

    processor, seen = _spans()
    provider = TracerProvider()
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return seen


def opentelemetry_fastapi() -> Made:
    FastAPIInstrumentor = load("opentelemetry.instrumentation.fastapi", "FastAPIInstrumentor")

    seen = _tracing()
    app = frameworks.fastapi()
    FastAPIInstrumentor.instrument_app(app)
    return app, seen


def opentelemetry_middleware() -> Made:
    OpenTelemetryMiddleware = load("opentelemetry.instrumentation.asgi", "OpenTelemetryMiddleware")

    seen = _tracing()
    return OpenTelemetryMiddleware(frameworks.starlette()), seen


def opentelemetry_instrument() -> Made:
    trace = load("opentelemetry", "trace")

    processor, seen = _spans()
    trace.get_tracer_provider().add_span_processor(processor)
    return frameworks.fastapi(), seen


def logfire() -> Made:
    package = import_module("logfire")

    processor, seen = _spans()
    package.configure(send_to_logfire=False, console=False, additional_span_processors=[processor])
    app = frameworks.fastapi()
    package.instrument_fastapi(app, record_send_receive=True)
    return app, seen


# Sentry


def _sentry(*integrations: Any) -> Callable[[], list[str]]:
    sentry_sdk = import_module("sentry_sdk")
    Transport = load("sentry_sdk.transport", "Transport")

    seen: list[str] = []

    def capture_envelope(self: Any, envelope: Any) -> None:
        for item in envelope.items:
            payload = item.payload.json or {}
            for span in [payload.get("contexts", {}).get("trace", {}), *payload.get("spans", ())]:
                seen.append(f"{span.get('op')} {span.get('description', '')}")

    keeping = type("Keeping", (Transport,), {"capture_envelope": capture_envelope})
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=keeping,
        traces_sample_rate=1.0,
        integrations=integrations,
        shutdown_timeout=0,
    )
    return lambda: seen


def sentry_fastapi() -> Made:
    seen = _sentry()
    return frameworks.fastapi(), seen


def sentry_starlette_spans() -> Made:
    AsyncioIntegration = load("sentry_sdk.integrations.asyncio", "AsyncioIntegration")
    StarletteIntegration = load("sentry_sdk.integrations.starlette", "StarletteIntegration")

    seen = _sentry(StarletteIntegration(middleware_spans=True), AsyncioIntegration())
    return frameworks.starlette(outer=LAYERS), seen


def sentry_litestar() -> Made:
    LitestarIntegration = load("sentry_sdk.integrations.litestar", "LitestarIntegration")

    seen = _sentry(LitestarIntegration())
    return frameworks.litestar(), seen


def sentry_quart() -> Made:
    QuartIntegration = load("sentry_sdk.integrations.quart", "QuartIntegration")

    seen = _sentry(QuartIntegration())
    return frameworks.quart(), seen


# Others


def ddtrace() -> Made:
    TraceFilter = load("ddtrace.trace", "TraceFilter")
    tracer = load("ddtrace.trace", "tracer")

    seen: list[str] = []

    def process_trace(self: Any, trace: Any) -> None:
        seen.extend(span.name for span in trace)

    keeping = type("Keeping", (TraceFilter,), {"process_trace": process_trace})
    tracer.configure(trace_processors=[keeping()])
    return frameworks.fastapi(), lambda: seen


def newrelic() -> Made:
    application = load("newrelic.agent", "application")
    return frameworks.fastapi(), lambda: [type(application()).__name__]


def _elastic_client() -> Any:
    get_client = load("elasticapm", "get_client")
    make_apm_client = load("elasticapm.contrib.starlette", "make_apm_client")

    return get_client() or make_apm_client({"SERVICE_NAME": "tests", "RECORDING": False})


def elastic() -> Made:
    ElasticAPM = load("elasticapm.contrib.starlette", "ElasticAPM")

    client = _elastic_client()
    app = frameworks.starlette(outer=[(ElasticAPM, {"client": client})])
    return app, lambda: [client.config.service_name]


def correlation() -> Made:
    CorrelationIdFilter = load("asgi_correlation_id", "CorrelationIdFilter")
    CorrelationIdMiddleware = load("asgi_correlation_id", "CorrelationIdMiddleware")

    seen: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(f"{record.correlation_id} {record.getMessage()}")  # type: ignore[attr-defined]

    handler = Keeping()
    handler.addFilter(CorrelationIdFilter())
    logging.getLogger("asgi_keepalive").addHandler(handler)
    logging.getLogger("asgi_keepalive").setLevel(logging.INFO)
    return frameworks.fastapi(outer=[(CorrelationIdMiddleware, {"generator": lambda: "id-1"})]), (
        lambda: seen
    )


# The frameworks' own


class Anybody(AuthenticationBackend):
    """Lets everybody in."""

    async def authenticate(self, conn: Any) -> tuple[AuthCredentials, SimpleUser]:
        return AuthCredentials([]), SimpleUser("anybody")


LAYERS: frameworks.Layers = [
    (SessionMiddleware, {"secret_key": "known to all"}),
    (AuthenticationMiddleware, {"backend": Anybody()}),
]


def _more_layers() -> frameworks.Layers:
    CorrelationIdMiddleware = load("asgi_correlation_id", "CorrelationIdMiddleware")
    ElasticAPM = load("elasticapm.contrib.starlette", "ElasticAPM")

    return [(CorrelationIdMiddleware, {}), (ElasticAPM, {"client": _elastic_client()})]


def starlette() -> Made:
    return frameworks.starlette(outer=LAYERS), list


def litestar() -> Made:
    return frameworks.litestar(), list


def channels() -> Made:
    return frameworks.channels(), list


def everything() -> Made:
    """All of it around one route, twice."""
    OpenTelemetryMiddleware = load("opentelemetry.instrumentation.asgi", "OpenTelemetryMiddleware")
    StarletteIntegration = load("sentry_sdk.integrations.starlette", "StarletteIntegration")

    seen_by_sentry = _sentry(StarletteIntegration(middleware_spans=True))
    seen_by_opentelemetry = _tracing()
    layers = [(OpenTelemetryMiddleware, {}), *LAYERS, *_more_layers()]
    app = frameworks.starlette(outer=layers, inner=layers)
    return app, lambda: seen_by_sentry() + seen_by_opentelemetry()


def everything_fastapi() -> Made:
    """All that a FastAPI application takes, inside and outside of the middleware."""
    FastAPIInstrumentor = load("opentelemetry.instrumentation.fastapi", "FastAPIInstrumentor")

    seen_by_sentry = _sentry()
    seen_by_opentelemetry = _tracing()
    app = frameworks.fastapi(outer=LAYERS, inner=_more_layers())
    FastAPIInstrumentor.instrument_app(app)
    return app, lambda: seen_by_sentry() + seen_by_opentelemetry()
