"""A middleware inside what has accepted the connection already, on real servers."""

from __future__ import annotations

from typing import Any

from asgi_keepalive import KeepaliveMiddleware, get_keepalive

from ..conftest import Reports
from ..support.applications import accept
from ..support.client import CLOSE, PING, PONG, TEXT, Client, close_code
from ..support.observers import Notes
from ..support.server import running
from ..support.serving import serving


def test_connection_is_kept_alive(ws: str, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})
        reports.put((event["code"], get_keepalive(scope).timed_out))

    async def router(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await wrapped(scope, receive, send)

    notes = Notes()
    wrapped = KeepaliveMiddleware(
        app, ping_interval=0.2, ping_timeout=0.3, required=True, observers=[notes]
    )
    with (
        running(serving(router, ws=ws, loop="asyncio")) as server,
        Client(server.port).open() as client,
    ):
        client.send(TEXT, b"early")
        assert client.expect(TEXT) == b"early"
        client.send(PONG, client.expect(PING))
        client.send(TEXT, b"late")
        assert client.answer_until(TEXT) == b"late"
        client.expect(PING)
        assert reports.get() == (1011, True)
        assert close_code(client.expect(CLOSE)) == (1011, "keepalive ping timeout")
    told = [what for _, what, *_ in notes.taken]
    assert told[:3] == ["opened", "pinged", "ponged"]
    assert told[-2:] == ["failed", "closed"]


def test_denied_connection_is_not_taken_for_an_accepted_one(ws: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    async def router(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})
        await wrapped(scope, receive, send)

    notes = Notes()
    wrapped = KeepaliveMiddleware(app, observers=[notes])
    with running(serving(router, ws=ws, loop="asyncio")) as server, Client(server.port) as client:
        assert " 403 " in client.response()
        client.until_end()
    assert notes.taken == []
