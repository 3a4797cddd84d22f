"""Every framework's example: the latency is told, and the handler learns of a dead client."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar, WebSocket, websocket
from litestar.middleware import DefineMiddleware

from asgi_keepalive import KeepaliveMiddleware

from .support.client import CLOSE, PING, PONG, TEXT, Client, close_code
from .support.process import Process, started
from .support.server import kernel_sockets, running, wait_until
from .support.serving import serving

COMMANDS = {
    "uvicorn": "-m uvicorn APP --port PORT",
    "hypercorn": "-m hypercorn APP --bind 127.0.0.1:PORT",
    "daphne": "-m daphne --port PORT APP",
    "gunicorn": "-m gunicorn APP --worker-class asgi --bind 127.0.0.1:PORT",
}
"""What runs an example on each server that the middleware works on."""

FRAMEWORKS = ["channels", "litestar", "quart", "starlette"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="starts POSIX processes")


@pytest.fixture(params=list(COMMANDS.values()), ids=list(COMMANDS))
def command(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def example(framework: str, command: str) -> Iterator[Process]:
    """Run the example of a framework; in the end nothing may have gone wrong."""
    if (framework, command) == ("quart", COMMANDS["daphne"]):
        pytest.skip("Quart wants a scheme in the scope, which daphne does not put there")
    arguments = command.replace("APP", f"examples.{framework}_app:app").split()
    with started(sys.executable, *arguments, PING_INTERVAL="0.2", PING_TIMEOUT="1") as process:
        yield process
    assert "Traceback" not in process.output
    assert "ERROR" not in process.output
    assert "keepalive is off" not in process.output


def tells_latency(client: Client) -> None:
    """Assert that the client is told its latency."""
    client.send(PONG, client.expect(PING))
    client.send(TEXT, b'"hello"')
    told = json.loads(client.answer_until(TEXT))
    assert told["echo"] == "hello"
    assert 0 < told["latency"] < 1


def times_out(client: Client) -> None:
    """Assert that the client is told that it has answered no Ping."""
    client.expect(PING)
    assert close_code(client.expect(CLOSE)) == (1011, "keepalive ping timeout")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_silent_client(example: Process, framework: str) -> None:
    with Client(example.port, path="/ws").open() as client:
        tells_latency(client)
        times_out(client)
        why = "timed out" if framework == "quart" else "1011"  # which Quart does not tell
        wait_until(lambda: f"gone ({why})" in example.output)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_client_that_reads_nothing(example: Process, framework: str) -> None:
    with Client(example.port, path="/ws", receive_buffer=4096).open() as client:
        client.socket.settimeout(0.2)
        with contextlib.suppress(OSError):  # Quart takes in everything, the others stop
            for _ in range(200):
                client.send(TEXT, b'"%s"' % (b"x" * 60_000))
        wait_until(lambda: kernel_sockets(example.port, client.port)[0][1] > 10_000)
        # To Starlette a `send` that failed is 1006, whatever the reason.
        why = {"quart": "timed out", "starlette": "1006|1011"}.get(framework, "1011")
        wait_until(lambda: re.search(rf"gone \(({why})\)", example.output))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_client_that_leaves(example: Process, framework: str) -> None:
    with Client(example.port, path="/ws").open() as client:
        tells_latency(client)
        client.send(CLOSE, b"\x03\xe8")
        assert close_code(client.answer_until(CLOSE)) == (1000, "")
        why = "left" if framework == "quart" else "1000"
        wait_until(lambda: f"gone ({why})" in example.output)


@pytest.mark.parametrize("framework", ["starlette"])
def test_settings_of_a_route_and_of_a_mount_win(example: Process) -> None:
    with (
        Client(example.port, path="/route").open() as hasty,
        Client(example.port, path="/mount/ws").open() as patient,
    ):
        tells_latency(hasty)
        tells_latency(patient)
        times_out(hasty)
        wait_until(lambda: " /route: keepalive ping timeout, no Pong for 0.5" in example.output)
        for _ in range(7):  # more seconds than the application's timeout
            patient.expect(PING)
        tells_latency(patient)


@websocket("/ws")
async def ping(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_json(await socket.state.keepalive.ping())


@pytest.mark.parametrize("ws", ["auto", "hypercorn", "daphne"])
def test_litestar_with_the_middleware_inside(ws: str) -> None:
    # Litestar's types want an application whose scope is a `TypedDict` of its own.
    inside = DefineMiddleware(KeepaliveMiddleware, ping_interval=20)  # type: ignore[arg-type]
    app: Any = Litestar([ping], middleware=[inside], logging_config=None)
    with (
        running(serving(app, loop="asyncio", ws=ws)) as server,
        Client(server.port, path="/ws").open() as client,
    ):
        client.send(PONG, client.expect(PING))
        assert 0 < float(client.expect(TEXT)) < 1
