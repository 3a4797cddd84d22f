"""The page on how a timeout is told: its handlers tell it, and its lines make the log show it."""

from __future__ import annotations

import asyncio
import importlib
import re
import sys
from pathlib import Path
from typing import Any

import litestar
import pytest
from fastapi import WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute

from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.extension import Application

from .support.applications import TIMES_OUT
from .support.client import Client
from .support.fake_loop import FakeServer, in_no_time
from .support.process import started
from .support.server import wait_until
from .test_readme import DOCS, code

SCOPE: dict[str, Any] = {
    "client": ("192.0.2.1", 50000),
    "headers": [],
    "http_version": "1.1",
    "path": "/ws",
    "query_string": b"",
    "raw_path": b"/ws",
    "root_path": "",
    "scheme": "ws",
    "subprotocols": [],
}
PAGE = DOCS / "telling.md"


def run(containing: str, **names: Any) -> dict[str, Any]:
    """Run a block of the page, and return its names."""
    namespace = {"__name__": "telling", "get_keepalive": get_keepalive, **names}
    exec(code(containing, PAGE), namespace)
    return namespace


def starlette_app() -> Application:
    route = WebSocketRoute("/ws", run("async def endpoint")["endpoint"])
    return Starlette(routes=[route])


def channels_app() -> Application:
    importlib.import_module("examples.channels_app")  # Django is configured once in a process
    app: Application = run("class Echo")["Echo"].as_asgi()
    return app


def litestar_app() -> Application:
    # It looks up the names of annotations in the function's module.
    echo = run("async def echo(socket", __name__="litestar")["echo"]
    return litestar.Litestar([echo], logging_config=None)  # or it starts a thread


def quart_app() -> Application:
    app: Application = run("async def echo():", __name__=__name__)["app"]
    return app


def plain_app() -> Application:
    app: Application = run("async def app(")["app"]
    return app


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (starlette_app, "timed out, VERDICT"),
        (channels_app, "timed out 1011"),
        (litestar_app, "timed out"),
        (quart_app, "timed out"),
        (plain_app, "gone, 1011"),
    ],
)
def test_handler_tells_a_timeout(make: Any, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> str:
        app = KeepaliveMiddleware(make(), ping_interval=0.05, ping_timeout=0.05)
        server = FakeServer(app, **SCOPE)
        await asyncio.wait_for(server.task, 20)
        return str(get_keepalive(server.scope).verdict)

    verdict = asyncio.run(play())
    assert capsys.readouterr().out == told.replace("VERDICT", verdict) + "\n"


@in_no_time
async def test_settings_of_a_route_of_starlette() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()

    names: dict[str, Any] = {
        "KeepaliveMiddleware": KeepaliveMiddleware,
        "Middleware": Middleware,
        "WebSocketRoute": WebSocketRoute,
        "endpoint": endpoint,
    }
    names = run("slow =", **names)
    app = KeepaliveMiddleware(Starlette(routes=names["routes"]))
    server = FakeServer(app, **{**SCOPE, "path": "/slow"})
    await asyncio.sleep(1)
    keepalive = get_keepalive(server.scope)
    assert (keepalive.ping_interval, keepalive.ping_timeout) == (120, 60)
    assert keepalive.close_timeout == server.close_timeout == 30


SETTINGS = """
SECRET_KEY = "known to all"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["daphne"]
ASGI_APPLICATION = "telling.app"
"""
LINE = r"127\.0\.0\.1:\d+ /ws: keepalive ping timeout, no Pong for .*; silent: nothing has come"
LABELLED = rf"^INFO asgi_keepalive {LINE}"


@pytest.mark.skipif(sys.platform == "win32", reason="starts POSIX processes")
@pytest.mark.parametrize(
    ("command", "recipe", "line"),
    [
        ("uvicorn telling:app --port PORT", "", None),
        ("uvicorn telling:app --port PORT --log-config FOLDER/log.json", "", LABELLED),
        ("hypercorn telling:app --bind 127.0.0.1:PORT", "basicConfig", LABELLED),
        ("gunicorn telling:app --worker-class asgi --bind 127.0.0.1:PORT", "basicConfig", LABELLED),
        ("daphne telling:app --port PORT", "", rf"INFO +{LINE}"),
        ("django runserver --noreload --settings project 127.0.0.1:PORT", "", rf"^{LINE}"),
    ],
    ids=["by default", "uvicorn", "hypercorn", "gunicorn", "daphne", "runserver"],
)
def test_line_in_the_log(command: str, recipe: str, line: str | None, tmp_path: Path) -> None:
    (tmp_path / "telling.py").write_text((recipe and code(recipe, PAGE)) + TIMES_OUT)
    (tmp_path / "project.py").write_text(SETTINGS + code("LOGGING =", PAGE))
    [config] = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "log.json").write_text(config)
    command = command.replace("FOLDER", str(tmp_path))
    path = f"{DOCS.parent}:{tmp_path}"
    with started(sys.executable, "-m", *command.split(), PYTHONPATH=path) as process:
        with Client(process.port, path="/ws").open() as client:
            client.until_end()
        if line is not None:
            wait_until(lambda: re.search(line, process.output, re.MULTILINE) is not None)
    assert line or "keepalive ping timeout" not in process.output
