"""What the README and the documentation show is what happens."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asgiref.testing
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import asgi_keepalive
from asgi_keepalive import KeepaliveMiddleware, KeepaliveTimeout
from asgi_keepalive.endpoint.adapter import ReadingAdapter

from .support.client import PING, PONG, TEXT, Client
from .support.fake_loop import FakeServer, Puppet, in_no_time
from .support.server import running
from .support.serving import serving

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text()


def code(containing: str) -> str:
    """Return the block of Python with this in it."""
    text = "".join(page.read_text() for page in PAGES)
    [block] = [b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if containing in b]
    return str(block)


def test_quickstart() -> None:
    namespace: dict[str, Any] = {}
    exec(code("app = FastAPI()"), namespace)
    with (
        running(serving(namespace["app"], loop="asyncio", ws="auto")) as server,
        Client(server.port, path="/ws").open() as client,
    ):
        client.send(PONG, client.expect(PING))
        client.send(TEXT, b"hello")
        assert re.fullmatch(rb"\d+\.\d ms: hello", client.expect(TEXT))


def test_recipe_for_testing() -> None:
    async def returning(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        await returning(scope, receive, send)
        assert (await receive())["code"] == 1011
        with pytest.raises(KeepaliveTimeout):
            await send({"type": "websocket.send", "text": "x"})

    namespace = {
        "app": returning,
        "asgiref": asgiref,
        "KeepaliveMiddleware": KeepaliveMiddleware,
    }
    exec(code("ApplicationCommunicator"), namespace)
    recipe: Any = namespace["test_timeout"]
    with pytest.raises(AssertionError):  # this application ends before any timeout
        asyncio.run(recipe())
    namespace["app"] = waiting
    asyncio.run(recipe())


def test_skeleton_of_an_adapter() -> None:
    namespace: dict[str, Any] = {"ReadingAdapter": ReadingAdapter}
    exec(code("class ExampleAdapter"), namespace)
    assert not namespace["ExampleAdapter"].__abstractmethods__


@in_no_time
async def test_observer() -> None:
    app = Puppet()
    namespace: dict[str, Any] = {"app": SimpleNamespace(add_middleware=lambda _, **keys: keys)}
    exec(code("class Slow"), namespace)
    wrapped = KeepaliveMiddleware(app, observers=[namespace["Slow"]])
    FakeServer(wrapped, pong_after=1.5)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        await asyncio.sleep(30)
    assert printed.getvalue() == "/chat took 1.5 s\n"


@pytest.mark.parametrize(
    ("part", "path", "shown"),
    [
        ("PrometheusMetrics()", "/metrics/", "asgi_keepalive_connections"),
        ("OpenTelemetryMetrics()", "/openapi.json", ""),
        ("Dashboard(live)", "/connections/", "<title>Connections</title>"),
    ],
)
def test_recipes_for_operators(part: str, path: str, shown: str) -> None:
    app = FastAPI()
    exec(code(part), {"app": app, "KeepaliveMiddleware": KeepaliveMiddleware})
    answer = TestClient(app).get(path)
    assert answer.status_code == 200
    assert shown in answer.text


def test_two_commands_do_everything_and_ci_runs_them() -> None:
    commands = re.findall(r"^python -m .*$", README, re.MULTILINE)
    assert [command.rpartition(" && ")[2] for command in commands] == [
        "python -m tox run -e demo",
        "python -m tox run",
    ]
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_names_every_setting_and_every_public_name() -> None:
    settings = "ping_interval", "ping_timeout", "close_timeout", "required", "observers"
    for name in (*settings, *asgi_keepalive.__all__):
        assert name in README or name == "Keepalive"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), (page, link)
