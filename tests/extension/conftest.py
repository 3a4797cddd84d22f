"""Every server, and uvicorn's protocols by the classes that declare the extension themselves."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ..conftest import SERVERS
from ..support.client import Client
from ..support.extension import Speaker
from ..support.server import running
from ..support.serving import serving

CLASSES = {
    name: f"asgi_keepalive.servers.uvicorn.{name}:KeepaliveProtocol"
    for name in ("sansio", "wsproto", "legacy")
}
"""For uvicorn's `--ws`."""

Speak = Callable[..., Speaker]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what would say nothing new, and take minutes.

    TLS is the event loop's affair rather than the server's, and uvloop does not tell of each end of
    it. The classes make the same endpoint as `attach` does. The promises try gunicorn on uvloop.
    """
    items[:] = [item for item in items if not _says_nothing_new(item)]


def _says_nothing_new(item: pytest.Item) -> bool:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    if not item.path.is_relative_to(Path(__file__).parent) or "ws" not in params:
        return False
    is_class = params["ws"] in CLASSES.values()
    is_of_classes = item.path.name in {"test_classes.py", "test_pings.py"}
    over_tls_on_uvloop = params.get("secure", False) and params.get("loop") == "uvloop"
    gunicorn_on_uvloop = params["ws"] == "gunicorn" and params.get("loop") == "uvloop"
    return over_tls_on_uvloop or gunicorn_on_uvloop or (is_class and not is_of_classes)


@pytest.fixture(
    params=[*SERVERS, *CLASSES.values()], ids=[*SERVERS, *(f"class-{n}" for n in CLASSES)]
)
def ws(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def is_legacy(ws: str) -> bool:
    """Whether it is uvicorn's deprecated protocol, which keeps its own reading."""
    return ws in {"websockets", CLASSES["legacy"]}


@pytest.fixture
def speak(
    ws: str,
    loop: str,
    tls: ssl.SSLContext,
    tls_config: dict[str, str],
    is_legacy: bool,
) -> Iterator[Speak]:
    """Return a function that opens a connection, on which the test calls the functions."""
    with ExitStack() as stack:

        def speak(
            *, secure: bool = False, client: dict[str, Any] | None = None, **config: Any
        ) -> Speaker:
            speaker = Speaker()
            if secure:
                config.update(tls_config)
            server = serving(speaker, **{"ws": ws, "loop": loop, **config})
            speaker.server = stack.enter_context(running(server))
            speaker.client = Client(server.port, tls=tls if secure else None, **(client or {}))
            stack.callback(speaker.client.close)
            speaker.begun()
            stack.callback(speaker.end)
            return speaker

        yield speak
    if is_legacy:
        # By itself it writes to a transport that is closed, as uvloop does not allow; what asyncio
        # says of the task then must not be said in another test.
        gc.collect()


@pytest.fixture
def taken(speak: Speak) -> Callable[..., Speaker]:
    """Return a function that opens a connection, takes it over and accepts."""

    def taken(*, timeout: float = 0.5, **keys: Any) -> Speaker:
        speaker = speak(**keys)
        speaker.take_over()
        speaker.read_ahead()
        speaker.call("bound_closing", timeout)
        speaker.accept()
        return speaker

    return taken
