"""A client that asks for heartbeats, as the page's half does, and a server that just sends them."""

from __future__ import annotations

import json
from typing import Any

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.extension import Event

from .client import TEXT, Client
from .fake_loop import FakeServer, Puppet, elapsed

NONCE = 2 * "0123456789abcdef"
ASKING = f"/?a=1&asgi-keepalive={NONCE}&b"


def next_heartbeat(client: Client) -> dict[str, Any]:
    """Return what the next heartbeat says; answer Pings meanwhile."""
    text = client.answer_until(TEXT).decode()
    assert text.startswith(NONCE)
    told: dict[str, Any] = json.loads(text.removeprefix(NONCE))
    return told


class LaxServer(FakeServer):
    """One without the extension, which takes whatever it is given, and says when."""

    def __init__(self) -> None:
        self.app = Puppet()
        middleware = KeepaliveMiddleware(self.app, ping_interval=10)
        super().__init__(middleware, extensions={}, query_string=f"asgi-keepalive={NONCE}".encode())
        self.beats: list[float] = []

    def _must_be_open(self) -> None:
        """Whether it is or not."""

    async def _send(self, event: Event) -> None:
        await super()._send(event)
        if event.get("text", "").startswith(NONCE):
            self.beats.append(elapsed())
