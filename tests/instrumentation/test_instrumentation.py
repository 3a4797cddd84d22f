"""Through real packages: the server is found, clients are noticed, and the packages see events."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from ..conftest import SERVERS
from ..support.client import CLOSE, PING, TEXT, Client, close_code
from ..support.process import Process, running, started
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
        sees: What it has to have seen of the connections, besides what it has seen of HTTP.
        run_by: The command that runs the server, if the package has one.
        environment: Its settings.
    """

    sees: tuple[str, ...] = ()
    run_by: str = ""
    environment: Mapping[str, str] = MappingProxyType({})


EVENTS = ("websocket receive", "websocket send")
PACKAGES = {
    "opentelemetry_fastapi": Package(EVENTS),
    "opentelemetry_middleware": Package(EVENTS),
    "opentelemetry_instrument": Package(EVENTS, "opentelemetry-instrument", OPENTELEMETRY),
    "logfire": Package(EVENTS),
    "sentry_fastapi": Package(("websocket.server",)),
    "sentry_starlette_spans": Package(("starlette.receive", "starlette.send")),
    "sentry_litestar": Package(("litestar.receive", "litestar.send")),
    "sentry_quart": Package(("websocket.server",)),
    "ddtrace": Package(
        ("websocket.receive", "websocket.send", "websocket.close"), "ddtrace-run", DATADOG
    ),
    "newrelic": Package((), "newrelic-admin run-program", NEW_RELIC),
    "elastic": Package(),
    "correlation": Package(("id-1",)),
    "starlette": Package(),
    "litestar": Package(),
    "channels": Package(),
    "everything": Package((*EVENTS, "starlette.receive")),
    "everything_fastapi": Package((*EVENTS, "websocket.server")),
}

MOUNTED = {
    "opentelemetry_middleware",
    "sentry_starlette_spans",
    "elastic",
    "starlette",
    "everything",
}


def run_by(package: Package, *command: str) -> list[str]:
    """Return a command that runs a module, in the way of the package."""
    first, *rest = package.run_by.split() or [""]
    runner = [str(Path(sys.executable).with_name(first)), *rest] if first else []
    return [*runner, sys.executable, "-m", *command]


def told(process: Process, count: int) -> dict[str, Any]:
    """Return what became of so many connections, by path."""
    return {one.pop("path"): one for one in (process.told() for _ in range(count))}


def dead_clients(process: Process, port: int, mount: str = "") -> None:
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


def both_close_codes(process: Process, port: int, mount: str = "") -> None:
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


def works(process: Process, port: int, package: Package, mount: str = "") -> None:
    """Assert that clients are noticed on one server, and that the package sees the events."""
    before = seen(port, package.sees)
    dead_clients(process, port, mount)
    both_close_codes(process, port, mount)
    wait_until(lambda: all(map(int.__lt__, before, seen(port, package.sees))))


def nothing_went_wrong(process: Process) -> None:
    assert "keepalive is off" not in process.output
    assert "Traceback" not in process.output


@pytest.mark.parametrize("name", PACKAGES)
def test_package(name: str) -> None:
    package = PACKAGES[name]
    # Quart wants a scheme in the scope, which daphne does not put there.
    servers = [server for server in SERVERS if (name, server) != ("sentry_quart", "daphne")]
    command = run_by(package, "tests.instrumentation.serve", *servers)
    with running(*command, BETWEEN=name, **package.environment) as process:
        for port in process.told(timeout=40).values():
            works(process, port, package, "/mount" if name in MOUNTED else "")
    nothing_went_wrong(process)


COMMANDS = {
    "uvicorn": f"uvicorn {APP} --port PORT --log-level trace",
    "hypercorn": f"hypercorn {APP} --bind 127.0.0.1:PORT --graceful-timeout 1",
    "daphne": f"daphne --port PORT {APP}",
}
"""How users start each server; uvicorn wraps `receive` and `send`, too, at this level."""


@pytest.mark.parametrize("server", COMMANDS)
def test_everything_at_once(server: str) -> None:
    package = PACKAGES["everything"]
    command = run_by(package, *COMMANDS[server].split())
    with started(*command, BETWEEN="everything") as process:
        works(process, process.port, package, "/mount")
    nothing_went_wrong(process)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("run", "everything_fastapi"),
        ("run", "logfire"),
        ("run", "ddtrace"),
        ("run", "newrelic"),
        ("run", "opentelemetry_instrument"),
        ("dev", "everything_fastapi"),
    ],
)
def test_fastapis_own_command(mode: str, name: str) -> None:
    """It takes neither a flag for uvicorn's WebSocket protocol nor a wrapped application."""
    package = PACKAGES[name]
    app = "tests/instrumentation/fastapi_app.py"
    command = run_by(package, "fastapi", mode, "--port", "PORT", app)
    with started(*command, BETWEEN=name, **package.environment) as process:
        works(process, process.port, package)
    nothing_went_wrong(process)
