"""Every way in: servers started as users start them."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time

import pytest

from asgi_keepalive.servers import granian

from ..conftest import LOOPS, PROTOCOLS
from ..support.client import CLOSE, PING, TEXT, Client, close_code
from ..support.process import Process, started, uvicorn
from ..support.server import kernel_sockets, wait_until

CLASSES = [
    f"asgi_keepalive.servers.uvicorn.{name}:KeepaliveProtocol"
    for name in (
        "sansio",
        "wsproto",
        "legacy",
    )
]
HYPERCORN = [sys.executable, "-m", "hypercorn", "--bind", "127.0.0.1:PORT", "tests.support.app:app"]
DAPHNE = [sys.executable, "-m", "daphne", "--port", "PORT", "tests.support.app:app"]
GUNICORN = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:PORT", "tests.support.app:app"]
TIMED_OUT = {"code": 1011, "reason": "keepalive ping timeout", "timed_out": True}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="starts POSIX processes")


def times_out(process: Process) -> None:
    """Assert that a silent client is noticed."""
    with Client(process.port, path="/receive").open() as client:
        assert process.told()["supported"] is True
        client.expect(PING)
        assert process.told() == TIMED_OUT
        assert close_code(client.expect(CLOSE)) == (1011, "keepalive ping timeout")
    assert "Traceback" not in process.output


@pytest.mark.parametrize(
    "command",
    [
        uvicorn(),
        uvicorn("--workers", "2"),
        uvicorn("--reload"),
        uvicorn("--log-level", "trace"),  # wraps both calls
        uvicorn("--proxy-headers", "--forwarded-allow-ips", "*"),
        [sys.executable, "-m", "fastapi", "run", "--port", "PORT", "tests/support/app.py"],
        [sys.executable, "-m", "fastapi", "dev", "--port", "PORT", "tests/support/app.py"],
        [*GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker", "--workers", "2"],
        HYPERCORN,
        [*HYPERCORN, "--worker-class", "uvloop", "--workers", "2"],
        DAPHNE,
        [*GUNICORN, "--worker-class", "asgi"],
        [*GUNICORN, "--worker-class", "asgi", "--asgi-loop", "asyncio", "--workers", "2"],
    ],
    ids=[
        *("plain", "workers", "reload", "trace", "proxy-headers", "fastapi-run", "fastapi-dev"),
        *("gunicorn-uvicorn", "hypercorn", "hypercorn-workers", "daphne"),
        *("gunicorn", "gunicorn-workers"),
    ],
)
def test_no_flags(command: list[str]) -> None:
    with started(*command) as process:
        times_out(process)


@pytest.mark.parametrize("cls", CLASSES)
def test_ws_class(cls: str) -> None:
    with started(*uvicorn("--ws", cls)) as process:
        times_out(process)
        assert "keepalive is off" not in process.output


@pytest.mark.parametrize(
    ("command", "name", "advice"),
    [
        (
            [
                *(sys.executable, "-m", "granian", "tests.support.app:app", "--interface", "asgi"),
                *("--host", "127.0.0.1", "--port", "PORT"),
            ],
            "granian",
            granian.ADVICE,
        ),
    ],
    ids=["granian"],
)
def test_server_without_pongs(command: list[str], name: str, advice: str) -> None:
    with started(*command) as process:
        for _ in range(2):
            with Client(process.port, path="/echo").open() as client:
                assert process.told() == {"supported": False}
                client.send(TEXT, b"hello")
                assert client.expect(TEXT) == b"hello"
                assert close_code(client.expect(CLOSE)) == (4000, "mine")
                client.send(CLOSE, b"\x0f\xa0")
        with Client(process.port, path="/receive").open() as client:
            assert process.told()["supported"] is False
            client.socket.settimeout(0.7)
            with pytest.raises(TimeoutError):  # neither a Ping nor a timeout
                client.receive()
            client.send(CLOSE, b"\x03\xe8")
            told = process.told()
            assert (told["code"], told["timed_out"]) == (1000, False)
        nonce = 2 * "0123456789abcdef"
        with Client(process.port, path=f"/receive?asgi-keepalive={nonce}").open() as client:
            for _ in range(3):  # a page is told all the same
                told = json.loads(client.expect(TEXT).removeprefix(nonce.encode()))
                assert told == {"interval": 0.2, "timeout": 0.3, "latency": None}
        assert process.output.count("keepalive is off") == 1
        version = importlib.metadata.version(name)
        assert f"keepalive is off on {name} {version}: {advice}\n" in process.output
        assert "Traceback" not in process.output


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ws", PROTOCOLS)
def test_sigterm_with_frozen_peers(ws: str, loop: str) -> None:
    flags = uvicorn("--ws", ws, "--loop", loop)
    with started(*flags, PING_INTERVAL="20", PING_TIMEOUT="20") as process:
        with (
            Client(process.port, path="/stream", receive_buffer=4096).open() as frozen,
            Client(process.port, path="/receive").open() as idle,
        ):
            process.told()
            process.told()
            wait_until(lambda: kernel_sockets(process.port, frozen.port)[0][1] > 10_000)
            assert process.terminate() < 0.5 + 1 + 1  # the interpreter has to exit, too
            assert close_code(idle.expect(CLOSE))[0] == 1012
            assert {process.told()["code"], process.told()["code"]} == {1006, 1012}
        assert "Traceback" not in process.output
        assert "ERROR" not in process.output


@pytest.mark.parametrize("wait", [0, 1.5])
def test_sigterm_of_daphne_with_frozen_peers(wait: float) -> None:
    """It cancels its applications, but not if a connection has come within the last second."""
    with started(*DAPHNE, PING_INTERVAL="20", PING_TIMEOUT="20") as process:
        with (
            Client(process.port, path="/stream", receive_buffer=4096).open() as frozen,
            Client(process.port, path="/receive").open() as idle,
        ):
            process.told()
            process.told()
            wait_until(lambda: kernel_sockets(process.port, frozen.port)[0][1] > 10_000)
            time.sleep(wait)
            assert process.terminate() < 0.5 + 1 + 1  # the interpreter has to exit, too
            assert close_code(idle.expect(CLOSE))[0] == 1012
            assert not kernel_sockets(process.port, frozen.port)
        assert "Traceback" not in process.output
        assert "ERROR" not in process.output


def test_sigterm_with_workers() -> None:
    flags = uvicorn("--workers", "2")
    with started(*flags, PING_INTERVAL="20", PING_TIMEOUT="20") as process:
        clients = [
            Client(process.port, path="/stream", receive_buffer=4096).open() for _ in range(4)
        ]
        for _ in clients:
            process.told()
        assert process.terminate() < 0.5 + 1 + 2.5  # its supervisor looks only now and then
        for client in clients:
            client.close()
        assert "Traceback" not in process.output


def test_timeout_is_logged_where_the_readme_says() -> None:
    with started(*uvicorn()) as process:
        times_out(process)
        wait_until(lambda: "no Pong for" in process.output)
        assert "INFO:asgi_keepalive:127.0.0.1:" in process.output
        assert " /receive: keepalive ping timeout, no Pong for 0.3" in process.output


def test_refused_setting_is_seen_in_the_servers_output() -> None:
    with started(*uvicorn(), PING_TIMEOUT="0") as process:
        with Client(process.port, path="/receive") as client:
            assert " 101 " not in client.response()
        assert "ping_timeout must be a positive number of seconds or None, not 0" in (
            process.output
        )
