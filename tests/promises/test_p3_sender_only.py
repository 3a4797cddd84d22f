"""P3: an application that never calls `receive()` is told by `send()`."""

from __future__ import annotations

import asyncio
from typing import Any

from asgi_keepalive import get_keepalive

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import TEXT, Client, close_code
from ..support.server import freed


class TestSenderOnly:
    def test_application_that_only_sends(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            try:
                while True:
                    await send({"type": "websocket.send", "text": "tick"})
                    await asyncio.sleep(0.01)
            finally:
                reports.put(get_keepalive(scope).timed_out)

        server = serve(app)
        with Client(server.port).open() as client:
            frames = client.until_end()
            assert reports.get() is True
            assert frames[0] == (TEXT, b"tick")
            assert close_code(frames[-1][1]) == (1011, "keepalive ping timeout")
        freed(server, client, 0)
