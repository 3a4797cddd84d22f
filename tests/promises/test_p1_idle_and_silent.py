"""P1: an application that waits in `receive()` is told that its peer is silent."""

from __future__ import annotations

import logging
import time
from typing import Any

from asgi_keepalive import get_keepalive

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import CLOSE, PING, PONG, TEXT, Client, close_code
from ..support.server import freed, logged
from ..support.timeouts import FAILED, LATE, LOGGED, TIMEOUT


class TestIdleAndSilent:
    def test_application_and_peer_are_told(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            for _ in range(3):
                reports.put((await receive(), time.monotonic()))

        server = serve(app)
        with Client(server.port).open() as client:
            assert len(client.expect(PING)) == 4
            event, at = reports.get()
            assert event == FAILED
            # "Later receive() calls return it again; none hangs."
            assert reports.get()[0] == reports.get()[0] == FAILED
            [ping] = logged(server, "Ping ")
            waited = at - ping.at  # type: ignore[attr-defined]
            assert TIMEOUT - LOGGED < waited < TIMEOUT + LATE
            frames = client.until_end()
            assert [(opcode, close_code(payload)) for opcode, payload in frames] == [
                (CLOSE, (1011, "keepalive ping timeout"))
            ]
            [record] = logged(server, "keepalive ping timeout")
            assert record.levelno == logging.INFO
            assert f"127.0.0.1:{client.port} /: keepalive ping timeout, no Pong for 0." in (
                record.getMessage()
            )
            assert "s, last latency unknown" in record.getMessage()
        freed(server, client, 0)

    def test_log_names_path_and_last_latency(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            reports.put(await receive())

        server = serve(app)
        with Client(server.port, path="/chat").open() as client:
            client.send(PONG, client.expect(PING))
            assert reports.get() == FAILED
            [record] = logged(server, "keepalive ping timeout")
            assert " /chat: " in record.getMessage()
            assert "last latency 0.0" in record.getMessage()

    def test_peer_that_answers_lives(self, serve: Serve, reports: Reports) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            keepalive = get_keepalive(scope)
            assert keepalive.latency is None
            event = await receive()
            reports.put((event, keepalive.latency, keepalive.timed_out, keepalive.supported))

        server = serve(app)
        with Client(server.port).open() as client:
            assert client.answer(1.2, delay=0.1) == []
            client.send(TEXT, b"bye")
            event, latency, timed_out, supported = reports.get()
            assert event["text"] == "bye"
            # It may have the Ping before its server, a thread beside it, looks at the clock.
            assert 0.09 <= latency < 0.1 + LATE
            assert not timed_out
            assert supported
