"""Clients of an application behind a package, and what has to happen."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ..conftest import SERVERS
from ..support.client import CLOSE, PING, TEXT, Client, close_code
from ..support.process import Process, running
from ..support.server import wait_until

APP = "tests.instrumentation.app:app"

DATADOG = {
    "DD_TRACE_WEBSOCKET_MESSAGES_ENABLED": "true",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
}
NEW_RELIC = {"NEW_RELIC_DEVELOPER_MODE": "true", "NEW_RELIC_LICENSE_KEY": 40 * "0"}
OPENTELEMETRY = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}


class Package(NamedTuple):
    """What stands between.

    Attributes:
        title: What it is called.
        sees: What it has to have seen of the connections, besides what it has seen of HTTP.
        run_by: The command that runs the server, if the package has one.
        environment: Its settings.
        mount: Where its application is.
    """

    title: str
    sees: tuple[str, ...] = ()
    run_by: str = ""
    environment: Mapping[str, str] = MappingProxyType({})
    mount: str = ""


EVENTS = ("websocket receive", "websocket send")
PACKAGES = {
    "opentelemetry_fastapi": Package("OpenTelemetry's `FastAPIInstrumentor`", EVENTS),
    "opentelemetry_middleware": Package(
        "OpenTelemetry's `OpenTelemetryMiddleware`", EVENTS, mount="/mount"
    ),
    "opentelemetry_instrument": Package(
        "`opentelemetry-instrument`", EVENTS, "opentelemetry-instrument", OPENTELEMETRY
    ),
    "logfire": Package("logfire", EVENTS),
    "sentry_fastapi": Package("Sentry, FastAPI", ("websocket.server",)),
    "sentry_starlette_spans": Package(
        "Sentry, Starlette with `middleware_spans`",
        ("starlette.receive", "starlette.send"),
        mount="/mount",
    ),
    "sentry_litestar": Package("Sentry, Litestar", ("litestar.receive", "litestar.send")),
    "sentry_quart": Package("Sentry, Quart", ("websocket.server",)),
    "ddtrace": Package(
        "`ddtrace-run`",
        ("websocket.receive", "websocket.send", "websocket.close"),
        "ddtrace-run",
        DATADOG,
    ),
    "newrelic": Package(
        "`newrelic-admin run-program`", (), "newrelic-admin run-program", NEW_RELIC
    ),
    "elastic": Package("Elastic APM", mount="/mount"),
    "correlation": Package("asgi-correlation-id", ("id-1",)),
    "starlette": Package(
        "Starlette's sessions, authentication, a mount and a route", mount="/mount"
    ),
    "litestar": Package("Litestar's own list of middlewares, with its session"),
    "channels": Package("Channels' `AuthMiddlewareStack`"),
    "everything": Package(
        "OpenTelemetry, Sentry, asgi-correlation-id, Elastic APM and Starlette's own, twice",
        (*EVENTS, "starlette.receive"),
        mount="/mount",
    ),
    "everything_fastapi": Package("the same in FastAPI, once", (*EVENTS, "websocket.server")),
}


def run_by(package: Package, *command: str) -> list[str]:
    """Return a command that runs a module, in the way of the package."""
    first, *rest = package.run_by.split() or [""]
    runner = [str(Path(sys.executable).with_name(first)), *rest] if first else []
    return [*runner, sys.executable, "-m", *command]


@contextmanager
def served(name: str) -> Iterator[tuple[Process, dict[str, int]]]:
    """Serve the application behind a package on every server; yield the ports of the servers."""
    package = PACKAGES[name]
    # Quart wants a scheme in the scope, which daphne does not put there.
    servers = [server for server in SERVERS if (name, server) != ("sentry_quart", "daphne")]
    command = run_by(package, "tests.instrumentation.serve", *servers)
    with running(*command, BETWEEN=name, **package.environment) as process:
        yield process, process.told(timeout=40)


def told(process: Process, count: int) -> dict[str, Any]:
    """Return what became of so many connections, by path."""
    return {one.pop("path"): one for one in (process.told() for _ in range(count))}


def dead_clients(process: Process, port: int, mount: str) -> None:
    """Assert that a silent client is noticed, and one that reads nothing."""
    with (
        Client(port, path=f"{mount}/receive").open() as silent,
        Client(port, path=f"{mount}/stream", receive_buffer=4096).open(),
    ):
        silent.expect(PING)
        assert close_code(silent.expect(CLOSE)) == (1011, "keepalive ping timeout")
        ends = told(process, 2)
        assert all(end["supported"] and end["timed_out"] for end in ends.values()), ends
        assert ends["receive"]["code"] in (1011, "cancelled")


def both_close_codes(process: Process, port: int, mount: str) -> None:
    """Assert that the application is told the client's, and the client the application's."""
    with Client(port, path=f"{mount}/receive").open() as client:
        client.send(CLOSE, b"\x0f\xa1mine")
        client.answer_until(CLOSE)
    with Client(port, path=f"{mount}/close").open() as client:
        client.send(TEXT, b"hello")
        assert client.answer_until(TEXT) == b"hello"
        assert close_code(client.answer_until(CLOSE))[0] == 4000
    ends = told(process, 2)
    assert all(end["supported"] and not end["timed_out"] for end in ends.values()), ends
    assert ends["receive"]["code"] in (4001, "cancelled")
    assert ends["close"]["code"] is None


def seen(port: int, parts: tuple[str, ...]) -> list[int]:
    """Return how often the package has seen each of these until now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
        everything = json.loads(response.read())
    return [sum(part in one for one in everything) for part in parts]


def works(process: Process, port: int, package: Package) -> None:
    """Assert that clients are noticed on one server, and that the package sees the events."""
    before = seen(port, package.sees)
    dead_clients(process, port, package.mount)
    both_close_codes(process, port, package.mount)
    wait_until(lambda: all(map(int.__lt__, before, seen(port, package.sees))))


def nothing_went_wrong(process: Process) -> None:
    assert "keepalive is off" not in process.output
    assert "Traceback" not in process.output
