"""What the pages about migration and about troubles show is what happens."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from asgi_keepalive import KeepaliveMiddleware

from .support.client import CLOSE, TEXT, Client
from .support.server import running, wait_until
from .support.serving import serving

DOCS = Path(__file__).parent.parent / "docs"
MIGRATION = (DOCS / "migration.md").read_text()


def block(page: str, containing: str, language: str = "python") -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    [found] = [one for one in blocks if containing in one]
    return str(found)


def migrating(containing: str, **settings: Any) -> FastAPI:
    """Return an application with a handler of the page, whose intervals are in tenths."""

    async def handle(websocket: WebSocket, message: Any) -> None:
        await asyncio.sleep(message["busy"])
        await websocket.send_json({"type": "handled"})

    app = FastAPI()
    if settings:
        app.add_middleware(KeepaliveMiddleware, **settings)
    code = block(MIGRATION, containing).replace("sleep(20)", "sleep(0.2)").replace("> 40", "> 0.4")
    names = {"app": app, "asyncio": asyncio, "handle": handle, "time": time}
    exec(code, names | {"WebSocket": WebSocket, "WebSocketDisconnect": WebSocketDisconnect})
    return app


def test_ping_messages_close_a_client_that_is_well() -> None:
    server = serving(migrating("def ping_loop"), loop="asyncio", ws="auto", ws_ping_interval=None)
    with running(server), Client(server.port, path="/ws").open() as client:
        client.send(TEXT, json.dumps({"type": "work", "busy": 1}).encode())
        while (frame := client.receive())[0] == TEXT:
            client.send(TEXT, b'{"type": "pong"}')
        assert frame[0] == CLOSE


def test_without_them_it_is_kept_and_old_clients_are_answered() -> None:
    app = migrating("async def after", ping_interval=0.1, ping_timeout=0.3, close_timeout=0.1)
    with running(serving(app, loop="asyncio", ws="auto")) as server:
        with Client(server.port, path="/ws").open() as client:
            client.send(TEXT, b'{"type": "pong"}')
            client.send(TEXT, b'{"type": "ping"}')
            assert client.answer_until(TEXT) == b'{"type":"pong"}'
            client.send(TEXT, json.dumps({"type": "work", "busy": 1}).encode())
            assert client.answer_until(TEXT) == b'{"type":"handled"}'
            assert client.until_end()[-1] == (CLOSE, b"\x03\xf3keepalive ping timeout")
        wait_until(lambda: not server.connections())
        assert not server.complaints()
