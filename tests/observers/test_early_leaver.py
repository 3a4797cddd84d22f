"""A peer that leaves before the first Ping: observers are told at once."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, Observer
from asgi_keepalive.endpoint.kernel import reset_on_close
from asgi_keepalive.extension import Scope

from ..conftest import LOOPS, Reports
from ..support.applications import accept
from ..support.client import CLOSE, Client
from ..support.connection import TIMES
from ..support.fake_loop import FakeServer, Puppet, fake_loop, in_no_time
from ..support.observers import Notes, observed
from ..support.server import running
from ..support.serving import serving


class TestPeerThatLeavesBeforeTheFirstPing:
    @pytest.mark.parametrize("ping_interval", [20, None])
    @in_no_time
    async def test_is_told_at_once(self, ping_interval: float | None) -> None:
        notes = Notes()
        server, _ = await observed(notes, ping_interval=ping_interval)
        await asyncio.sleep(3)
        server.closing()
        assert notes.taken == [(0, "opened"), (3, "closed")]
        assert fake_loop().timers() == []

    @in_no_time
    async def test_even_while_the_application_accepts(self) -> None:
        notes = Notes()
        app = Puppet()
        server = FakeServer(KeepaliveMiddleware(app, observers=[notes], **TIMES))
        server.on_accept = server.closing
        await asyncio.sleep(3)
        assert notes.taken == []  # it was gone before it was open
        assert fake_loop().timers() == []
        server.is_open = True
        await app.send({"type": "websocket.accept"})  # once more, which changes nothing
        assert notes.taken == []
        assert fake_loop().timers() == []


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("how", ["reset", "FIN", "close"])
def test_peer_that_leaves_before_the_first_ping(
    ws: str, loop: str, how: str, reports: Reports
) -> None:
    """Of an application that is busy, and does not receive."""

    class Telling(Observer):
        def __init__(self, scope: Scope) -> None:
            pass

        def opened(self) -> None:
            reports.put("opened")

        def closed(self) -> None:
            reports.put("closed")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await over.wait()

    for ping_interval in 20, None:
        wrapped = KeepaliveMiddleware(
            app, ping_interval=ping_interval, observers=[Telling], close_timeout=0.1
        )
        over = asyncio.Event()
        with running(serving(wrapped, ws=ws, loop=loop)) as server:
            with Client(server.port).open() as client:
                assert reports.get() == "opened"
                if how == "reset":
                    reset_on_close(client.socket)
                    client.close()
                elif how == "FIN":
                    client.socket.shutdown(socket.SHUT_WR)
                else:
                    client.send(CLOSE, b"\x03\xe8")
                assert reports.get() == "closed"
            server.run(over.set)
