"""Draining on real servers: asked for, and when they exit."""

from __future__ import annotations

import asyncio

from asgi_keepalive import drain

from ..conftest import Serve
from ..support.applications import echo
from ..support.client import CLOSE, Client, close_code

RESTART = (1012, "service restart")


class TestHandshake:
    def test_is_refused(self, ws: str, serve: Serve) -> None:
        # uvicorn says so of every denial, too.
        server = serve(echo, expect=("returned without completing handshake",))
        with Client(server.port).open() as client:
            server.run(lambda: asyncio.ensure_future(drain(0)))
            assert close_code(client.answer_until(CLOSE)) == RESTART
            with Client(server.port) as other:
                if ws in {"daphne", "gunicorn"}:
                    other.open()
                    assert close_code(other.expect(CLOSE)) == RESTART
                    assert other.until_end() == []
                else:
                    status, _, headers = other.response().partition("\r\n")
                    assert " 503 " in status
                    assert "retry-after: 0" in headers.lower()
