"""The examples in the docstrings of everything public run as they stand."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import textwrap
from collections.abc import AsyncIterator
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

import asgi_keepalive
import asgi_keepalive.browser
from asgi_keepalive import Keepalive, KeepaliveMiddleware
from asgi_keepalive.dashboard import Dashboard
from asgi_keepalive.observers import live, opentelemetry, prometheus, shared
from asgi_keepalive.verdict import judge

from .support.fake_loop import accepted, in_no_time

PUBLIC: dict[str, Any] = {
    **{name: getattr(asgi_keepalive, name) for name in asgi_keepalive.__all__},
    "Keepalive.ping": Keepalive.ping,
    "Keepalive.configure": Keepalive.configure,
    "LiveConnections": live.LiveConnections,
    "LiveConnection": live.LiveConnection,
    "Failure": live.Failure,
    **{name: getattr(shared, name) for name in shared.__all__},
    "Dashboard": Dashboard,
    "OpenTelemetryMetrics": opentelemetry.OpenTelemetryMetrics,
    "PrometheusMetrics": prometheus.PrometheusMetrics,
    "browser": asgi_keepalive.browser,
}


def example(public: Any) -> str:
    """Return the example in a docstring."""
    [block] = re.findall(r"^Example::\n\n((?: +.*\n|\n)+)", f"{inspect.getdoc(public)}\n", re.M)
    return textwrap.dedent(block)


class View:
    """Stands for `SharedConnections` where there is no Redis."""

    async def __aiter__(self) -> AsyncIterator[shared.SharedConnection]:
        told: Any = ["c5b", "web-1", 4711, 1, "192.0.2.1:50000", "/ws", "ok", *[1.0] * 12, [1.0]]
        yield shared.SharedConnection(*told)

    async def by_process(self) -> list[shared.SharedProcess]:
        return [shared.SharedProcess("c5b", "web-1", 4711, 1, 0, 0, 0.05)]

    async def failures(self) -> list[shared.SharedFailure]:
        verdict = judge({}, waited=20, timeout=20, paused=0, stalled=0)
        told: Any = ["c5b", "web-1", 4711, 1, "192.0.2.1:50000", "/ws", 0.0, 1.0, [], verdict]
        return [shared.SharedFailure(*told)]

    async def by_path(self) -> dict[str, int]:
        raise shared.RedisUnavailable("Redis does not answer")


@pytest.mark.parametrize("name", PUBLIC)
@in_no_time
async def test_example(name: str) -> None:
    server, app = await accepted(pong_after=0.1)
    observed = live.LiveConnections()
    observed(app.scope).opened()
    names = {
        **PUBLIC,
        "PrometheusMetrics": lambda: prometheus.PrometheusMetrics(CollectorRegistry()),
        "app": FastAPI(),
        "asgi_keepalive": asgi_keepalive,
        "contextlib": contextlib,
        "keepalive": app.keepalive,
        "middleware": KeepaliveMiddleware(app),
        "live": observed,
        "scope": app.scope,
        "shared": View(),
        "send": app.send,
        "websocket": SimpleNamespace(scope=app.scope),
    }
    code = compile(example(PUBLIC[name]), name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()):
        if inspect.iscoroutine(running := eval(code, names)):
            await running
    server.closing()
    await asyncio.sleep(0)


def test_version_is_that_of_the_distribution() -> None:
    assert asgi_keepalive.__version__ == version("asgi-keepalive")
    with pytest.raises(AttributeError, match=r"^module 'asgi_keepalive' has no attribute 'versio"):
        asgi_keepalive.version  # type: ignore[attr-defined]  # noqa: B018
