"""Through real packages: the server is found, clients are noticed, and the packages see events."""

from __future__ import annotations

import pytest

from ..support.process import started
from .playing import APP, PACKAGES, nothing_went_wrong, run_by, served, works


@pytest.mark.parametrize("name", PACKAGES)
def test_package(name: str) -> None:
    with served(name) as (process, ports):
        for port in ports.values():
            works(process, port, PACKAGES[name])
    nothing_went_wrong(process)


COMMANDS = {
    "uvicorn": f"uvicorn {APP} --port PORT --log-level trace",
    "hypercorn": f"hypercorn {APP} --bind 127.0.0.1:PORT --graceful-timeout 1",
    "daphne": f"daphne --port PORT {APP}",
    "gunicorn": f"gunicorn {APP} --bind 127.0.0.1:PORT --worker-class asgi --graceful-timeout 2",
}
"""How users start each server; uvicorn wraps `receive` and `send`, too, at this level."""


@pytest.mark.parametrize("server", COMMANDS)
def test_everything_at_once(server: str) -> None:
    package = PACKAGES["everything"]
    command = run_by(package, *COMMANDS[server].split())
    with started(*command, BETWEEN="everything") as process:
        works(process, process.port, package)
    nothing_went_wrong(process)


@pytest.mark.parametrize("name", ["ddtrace", "newrelic", "opentelemetry_instrument"])
def test_before_a_fork(name: str) -> None:
    """What has been patched in gunicorn's arbiter is there in its worker."""
    package = PACKAGES[name]
    command = run_by(package, *COMMANDS["gunicorn"].split())
    with started(*command, BETWEEN=name, **package.environment) as process:
        works(process, process.port, package)
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
