"""What observers are told on real servers."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, Observer, Verdict
from asgi_keepalive.extension import Scope

from ..conftest import LOOPS, Reports
from ..support.applications import accept
from ..support.client import CLOSE, PING, PONG, TEXT, Client
from ..support.server import running
from ..support.serving import serving


@pytest.mark.parametrize("loop", LOOPS)
def test_on_real_servers(ws: str, loop: str, reports: Reports) -> None:
    class Telling(Observer):
        def __init__(self, scope: Scope) -> None:
            self._path = scope["path"]

        def opened(self) -> None:
            reports.put(("opened", self._path))

        def ponged(self, latency: float) -> None:
            reports.put(("ponged", 0 < latency < 5))

        def failed(self, verdict: Verdict) -> None:
            reports.put(("failed", verdict.reason))

        def closed(self) -> None:
            reports.put("closed")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        while (await receive())["type"] == "websocket.receive":
            pass

    wrapped = KeepaliveMiddleware(app, ping_interval=0.2, ping_timeout=0.3, observers=[Telling])
    with running(serving(wrapped, ws=ws, loop=loop)) as server:
        with Client(server.port, path="/leaves").open() as client:
            client.send(PONG, client.expect(PING))
            assert reports.get() == ("opened", "/leaves")
            assert reports.get() == ("ponged", True)
            client.send(TEXT, b"x")
            client.send(CLOSE, b"\x03\xe8")
            assert reports.get() == "closed"
        with Client(server.port, path="/silent").open():
            assert reports.get() == ("opened", "/silent")
            assert reports.get() == ("failed", "silent")
            assert reports.get() == "closed"
