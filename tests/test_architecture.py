"""What may import what; the layout is the architecture."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import asgi_keepalive

ROOT = Path(asgi_keepalive.__file__).parent

MODULES = sorted(
    module.name for module in pkgutil.walk_packages([str(ROOT)], prefix="asgi_keepalive.")
)


def imports(module: str) -> Iterator[str]:
    """Yield the full name of each module that a module imports, wherever in it."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    package = module if spec.submodule_search_locations else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(Path(spec.origin).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: -node.level + 1 or None] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            # What is imported from a package may be a module itself.
            names = [f"{base}.{alias.name}" for alias in node.names]
            yield from [name for name in names if name in MODULES] or [base]


def own(module: str) -> set[str]:
    """Return the modules of this package that a module imports, by their short names."""
    prefix = "asgi_keepalive."
    return {name.removeprefix(prefix) for name in imports(module) if name.startswith(prefix)}


def foreign(module: str) -> set[str]:
    """Return the other top-level modules that a module imports."""
    return {name.partition(".")[0] for name in imports(module)} - {"asgi_keepalive", "__future__"}


def test_imports_are_found() -> None:
    """The rest of this file would pass on nothing, too."""
    assert {"heartbeat", "settings", "timer"} < own("asgi_keepalive.connection")
    assert {"math", "time"} < foreign("asgi_keepalive.connection")
    assert "servers.uvicorn.newer" in own("asgi_keepalive.servers.uvicorn.sansio")
    assert "endpoint.endpoint" in own("asgi_keepalive.servers.uvicorn.newer")
    assert "uvicorn" in foreign("asgi_keepalive.servers.uvicorn.sansio")


def test_heartbeat_is_without_io() -> None:
    needed = {"extension", "latency", "progress", "settings", "verdict"}
    assert own("asgi_keepalive.heartbeat") == needed
    assert own("asgi_keepalive.progress") == {"extension", "verdict"}
    assert foreign("asgi_keepalive.heartbeat") == {"dataclasses", "math"}
    assert foreign("asgi_keepalive.progress") == {"typing"}


@pytest.mark.parametrize("module", ["latency", "phases", "settings", "stall", "stepping", "text"])
def test_helpers_stand_alone(module: str) -> None:
    assert own(f"asgi_keepalive.{module}") <= {"text"}


def test_timing_knows_no_connection() -> None:
    assert own("asgi_keepalive.crowd") == {"phases", "stall"}
    assert own("asgi_keepalive.timer") == {"crowd", "stall"}


@pytest.mark.parametrize("module", ["calls", "connection", "levels", "manual"])
def test_connection_knows_no_server(module: str) -> None:
    parts = {name.partition(".")[0] for name in own(f"asgi_keepalive.{module}")}
    assert not parts & {"endpoint", "servers"}


def test_no_circle_of_imports() -> None:
    """Those for the type checker count."""
    waiting = {name.removeprefix("asgi_keepalive."): own(name) for name in MODULES}
    while waiting:
        # A package itself is imported with each of its modules, and imports none of them.
        ready = {
            name
            for name, needs in waiting.items()
            if not {need for need in needs if need in waiting and need != name}
        }
        assert ready, {name: needs & set(waiting) for name, needs in waiting.items()}
        for name in ready:
            del waiting[name]


def test_state_does_not_know_the_connection() -> None:
    assert own("asgi_keepalive.state") == {
        *("exceptions", "latency", "settings", "verdict"),
    }


def test_browsers_half_needs_only_messages() -> None:
    assert own("asgi_keepalive.browser.heartbeats") == {"extension", "state"}
    assert own("asgi_keepalive.files") == {"extension"}


@pytest.mark.parametrize("module", [name for name in MODULES if ".testing" in name])
def test_a_peer_in_tests_is_a_server_like_any_other(module: str) -> None:
    parts = {name.partition(".")[0] for name in own(module)}
    assert parts <= {"extension", "scopes", "state", "testing", "text"}


@pytest.mark.parametrize("module", [name for name in MODULES if ".conformance" in name])
def test_conformance_knows_no_server_but_by_the_extension(module: str) -> None:
    parts = {name.partition(".")[0] for name in own(module)}
    assert parts <= {"conformance", "extension", "extras", "output", "servers", "terminal"}


def test_observers_need_neither_connection_nor_server() -> None:
    needed = {"extension", "text", "verdict"}
    assert own("asgi_keepalive.observers") == needed
    assert own("asgi_keepalive.reporting") == {*needed, "log", "observers"}


def test_the_view_of_all_processes_is_in_parts() -> None:
    prefix = "asgi_keepalive.observers.shared"
    for module in [name for name in MODULES if name.startswith(prefix)]:
        assert ("redis" in foreign(module)) == (module == f"{prefix}.client")
    without_io = {f"observers.shared.{name}" for name in ("commands", "keys", "rows")}
    assert own(f"{prefix}.changes") == {*without_io, "observers.live"}
    assert own(f"{prefix}.rows") == {"observers.live", "observers.shared.fields", "verdict"}


SERVERS = [name for name in MODULES if name.startswith("asgi_keepalive.servers")]


@pytest.mark.parametrize("module", SERVERS)
def test_servers_know_nothing_but_the_extension_and_the_endpoint(module: str) -> None:
    parts = {name.partition(".")[0] for name in own(module)}
    assert parts <= {"endpoint", "extension", "servers"}


ENDPOINT = [name for name in MODULES if name.startswith("asgi_keepalive.endpoint")]


READER = ["events", "frames", "inflate", "judging", "message", "reader"]


@pytest.mark.parametrize("module", ENDPOINT)
def test_the_endpoint_is_for_any_server(module: str) -> None:
    assert {name.partition(".")[0] for name in own(module)} <= {"endpoint", "extension"}


@pytest.mark.parametrize("module", READER)
def test_the_reader_is_without_io(module: str) -> None:
    assert {name.partition(".")[0] for name in own(f"asgi_keepalive.endpoint.{module}")} <= {
        "endpoint"
    }
    # Of `websockets` it takes what is without I/O.
    assert foreign(f"asgi_keepalive.endpoint.{module}") <= {
        *("codecs", "dataclasses", "logging", "sys", "typing", "websockets", "zlib")
    }


PROBE = [name for name in MODULES if name.startswith("asgi_keepalive.probe")]


@pytest.mark.parametrize("module", PROBE)
def test_a_probe_needs_nothing_of_the_server_side(module: str) -> None:
    parts = {name.partition(".")[0] for name in own(module)}
    assert parts <= {"extras", "latency", "output", "probe", "terminal"}


PURE = [
    *("conclusions", "facts", "findings", "hops", "options", "payloads"),
    *("recommendation", "wording"),
]


@pytest.mark.parametrize("module", PURE)
def test_what_follows_from_facts_is_without_io(module: str) -> None:
    assert own(f"asgi_keepalive.probe.{module}") <= {
        "latency",
        *(f"probe.{one}" for one in PURE),
    }
    assert foreign(f"asgi_keepalive.probe.{module}") <= {
        *("collections", "dataclasses", "itertools", "math", "re", "statistics", "struct")
    }


PACKAGES = {
    *("uvicorn", "hypercorn", "daphne", "gunicorn"),
    *("websockets", "wsproto", "autobahn", "twisted"),
}
"""Those of servers, and of the libraries that they use."""


@pytest.mark.parametrize("module", [name for name in MODULES if name not in SERVERS])
def test_only_servers_import_servers(module: str) -> None:
    servers = PACKAGES.copy()
    if module in ENDPOINT:  # it reads with the one, and takes connections from the other
        servers -= {"websockets", "wsproto"}
    if module in PROBE:  # it is a client
        servers -= {"websockets"}
    assert not foreign(module) & servers


@pytest.mark.parametrize("module", [name for name in MODULES if name not in SERVERS])
def test_only_the_middleware_joins_the_parts(module: str) -> None:
    joins = {"calls", "connection", "middleware", "servers"} & own(module)
    expected = {
        "asgi_keepalive.calls": {"connection"},
        "asgi_keepalive.conformance.application": {"servers"},
        "asgi_keepalive.middleware": {"calls", "connection", "servers"},
    }
    assert joins <= expected.get(module, set())


def test_no_server_is_imported_before_it_runs() -> None:
    code = """
import asyncio, sys
import asgi_keepalive

async def app(scope, receive, send):
    pass

app = asgi_keepalive.KeepaliveMiddleware(app)
asyncio.run(app({"type": "http"}, None, None))
asyncio.run(app({"type": "websocket"}, None, None))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    imported = set(result.stdout.split())
    assert "asgi_keepalive" in imported
    assert not imported & {*PACKAGES, "uvloop", "starlette", "prometheus_client", "opentelemetry"}


def public() -> Iterator[Any]:
    """Yield what a user reads about: the public names, and the public parts of classes."""
    for name in asgi_keepalive.__all__:
        value = getattr(asgi_keepalive, name)
        yield pytest.param(value, id=name)
        for attribute, member in vars(value).items() if inspect.isclass(value) else ():
            if not attribute.startswith("_") and (callable(member) or isinstance(member, property)):
                yield pytest.param(member, id=f"{name}.{attribute}")


@pytest.mark.parametrize("value", list(public()))
def test_public_names_are_documented(value: Any) -> None:
    assert value.__doc__
    assert len(value.__doc__) > 30


@pytest.mark.parametrize("module", MODULES)
def test_modules_say_what_they_are_for(module: str) -> None:
    assert importlib.import_module(module).__doc__


def test_all_is_complete() -> None:
    names = {
        name
        for name, value in vars(asgi_keepalive).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert names == set(asgi_keepalive.__all__)
    assert asgi_keepalive.__all__ == sorted(asgi_keepalive.__all__)
