"""What the pages about migration and about troubles show is what happens."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.servers import advice, hypercorn
from asgi_keepalive.servers.advice import advise

from .support.applications import TIMES_OUT
from .support.client import CLOSE, TEXT, Client
from .support.process import ROOT, started
from .support.server import running, wait_until
from .support.serving import serving

DOCS = Path(__file__).parent.parent / "docs"
MIGRATION = (DOCS / "migration.md").read_text()


def block(page: str, containing: str, language: str = "python") -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    [found] = [one for one in blocks if containing in one]
    return str(found)


def migrating(containing: str, **settings: Any) -> FastAPI:
    """Return an application with a handler of the page, whose intervals are in tenths."""

    async def handle(websocket: WebSocket, message: Any) -> None:
        await asyncio.sleep(message["busy"])
        await websocket.send_json({"type": "handled"})

    app = FastAPI()
    if settings:
        app.add_middleware(KeepaliveMiddleware, **settings)
    code = block(MIGRATION, containing).replace("sleep(20)", "sleep(0.2)").replace("> 40", "> 0.4")
    names = {"app": app, "asyncio": asyncio, "handle": handle, "time": time}
    exec(code, names | {"WebSocket": WebSocket, "WebSocketDisconnect": WebSocketDisconnect})
    return app


def test_ping_messages_close_a_client_that_is_well() -> None:
    server = serving(migrating("def ping_loop"), loop="asyncio", ws="auto", ws_ping_interval=None)
    with running(server), Client(server.port, path="/ws").open() as client:
        client.send(TEXT, json.dumps({"type": "work", "busy": 1}).encode())
        while (frame := client.receive())[0] == TEXT:
            client.send(TEXT, b'{"type": "pong"}')
        assert frame[0] == CLOSE


def test_without_them_it_is_kept_and_old_clients_are_answered() -> None:
    app = migrating("async def after", ping_interval=0.1, ping_timeout=0.3, close_timeout=0.1)
    with running(serving(app, loop="asyncio", ws="auto")) as server:
        with Client(server.port, path="/ws").open() as client:
            client.send(TEXT, b'{"type": "pong"}')
            client.send(TEXT, b'{"type": "ping"}')
            assert client.answer_until(TEXT) == b'{"type":"pong"}'
            client.send(TEXT, json.dumps({"type": "work", "busy": 1}).encode())
            assert client.answer_until(TEXT) == b'{"type":"handled"}'
            assert client.until_end()[-1] == (CLOSE, b"\x03\xf3keepalive ping timeout")
        wait_until(lambda: not server.connections())
        assert not server.complaints()


TROUBLES = (DOCS / "troubleshooting.md").read_text()
WARNINGS = re.findall(r"```text\n(keepalive is off.*)\n```", TROUBLES)


def call(path: str) -> Any:
    """Return a method of an object of some class."""
    module, _, name = path.rpartition(".")
    cls: Any = type(name, (), {"__module__": module, "call": lambda self: None})
    return cls().call


UVICORN = call("uvicorn.protocols.websockets.wsproto_impl.WSProtocol")
HYPERCORN = call("hypercorn.protocol.ws_stream.WSStream")
QUEUE = asyncio.Queue[Any]().get


@pytest.mark.parametrize(
    ("server", "version", "calls", "declined"),
    [
        ("granian", "2.8.7", call("granian._granian.ASGIWebsocketProtocol"), ""),
        ("anycorn", "0.20.1", call("anycorn.protocol.ws_stream.WSStream"), ""),
        ("hypercorn", "0.18.0", HYPERCORN, hypercorn.TRIO),
        ("hypercorn", "0.18.0", HYPERCORN, hypercorn.HTTP_3),
        ("uvicorn", "0.54.0", QUEUE, ""),
        ("uvicorn", "0.60.0", UVICORN, ""),
        ("uvicorn", "0.46.0", UVICORN, ""),
        ("uvicorn", "0.54.0", UVICORN, ""),
        ("myserver", "", call("myserver.Connection"), ""),
        ("starlette", "1.10.0", call("starlette.testclient.WebSocketTestSession"), ""),
        ("", "", QUEUE, ""),
    ],
)
def test_warnings(
    monkeypatch: pytest.MonkeyPatch, server: str, version: str, calls: Any, declined: str
) -> None:
    versions = {server: version, "asgi-keepalive": "0.1.0"}
    monkeypatch.setattr(advice, "_version", lambda name: versions.get(name, ""))
    monkeypatch.setattr(advice, "_running", lambda: [f"{server}.server"])
    assert f"keepalive is {advise(calls, calls, declined).off}" in WARNINGS


def test_every_warning_is_tried() -> None:
    [parameters] = [mark.args[1] for mark in test_warnings.pytestmark]
    assert len(WARNINGS) == len(set(WARNINGS)) == len(parameters)


GUNICORN = ["gunicorn", "main:app", "--bind", "127.0.0.1:PORT", "--worker-class"]


@pytest.mark.skipif(sys.platform == "win32", reason="starts POSIX processes")
@pytest.mark.parametrize(
    ("file", "containing", "command"),
    [
        ("main.py", "basicConfig", ["uvicorn", "main:app", "--port", "PORT"]),
        ("log.json", "asgi_keepalive", ["uvicorn", "main:app", "--port", "PORT", "--log-config"]),
        (
            *("log.json", "asgi_keepalive"),
            ["hypercorn", "main:app", "--bind", "127.0.0.1:PORT", "--log-config", "json:"],
        ),
        ("gunicorn.conf.py", "logconfig_dict", [*GUNICORN, "asgi", "--config"]),
        (
            *("gunicorn.conf.py", "logconfig_dict"),
            [*GUNICORN, "uvicorn_worker.UvicornWorker", "--config"],
        ),
        ("settings.py", "LOGGING", ["django", "runserver", "PORT", "--noreload"]),
    ],
    ids=["application", "uvicorn", "hypercorn", "gunicorn", "uvicorn-worker", "runserver"],
)
def test_log_line(tmp_path: Path, file: str, containing: str, command: list[str]) -> None:
    (tmp_path / "main.py").write_text(TIMES_OUT)
    language = "json" if file.endswith("json") else "python"
    with (tmp_path / file).open("a") as config:
        config.write(block(TROUBLES, containing, language))
        if file == "settings.py":
            config.write(DJANGO)
    if command[-1].startswith(("--config", "--log-config", "json:")):
        last = command[-1] if command[-1] == "json:" else ""
        command = [*command[: -1 if last else None], f"{last}{tmp_path / file}"]
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "DJANGO_SETTINGS_MODULE": "settings"}
    with started(sys.executable, "-m", *command, **environment) as server:
        with Client(server.port).open() as client:
            client.until_end()
        wait_until(lambda: "keepalive ping timeout, no Pong for 0.1" in server.output)
    assert server.output.count("keepalive ping timeout") == 1


DJANGO = """
ALLOWED_HOSTS = ["*"]
ASGI_APPLICATION = "main.app"
INSTALLED_APPS = ["daphne"]
ROOT_URLCONF = "settings"
SECRET_KEY = "known to all"
urlpatterns = []
"""
