"""A server that speaks just enough of other libraries' protocols for their clients to stay."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from asgi_keepalive import KeepaliveMiddleware
from asgi_keepalive.browser.heartbeats import take_nonce

GREETINGS = {
    "actioncable": '{"type":"welcome"}',
    "socket.io": '0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}',
}
"""What a client is told first."""

ANSWERS = {
    "centrifuge": (r'{"connect":{.*},"id":(\d+)}', r'{"id":\1,"connect":{"client":"a"}}'),
    "graphql-ws": (r'{"type":"connection_init"}', r'{"type":"connection_ack"}'),
    "signalr": (r'{"protocol":"json","version":\d}\x1e', "{}\x1e"),
    "socket.io": (r"40", '40{"sid":"b"}'),
    "stompjs": (r"(?s)CONNECT\n.*", "CONNECTED\nversion:1.2\n\n\0"),
}
"""What is answered to which message."""


LIFETIME = float(os.environ.get("LIFETIME", 0))
"""Seconds after which a server that restarts ends a connection; 0 if it does not restart."""

RECONNECT_AFTER = float(os.environ.get("RECONNECT_AFTER", 0))
"""Seconds that a page is to wait then."""


async def serve(websocket: WebSocket) -> None:
    nonce, _ = take_nonce(websocket.scope)  # which the middleware has taken, if it is there
    await websocket.accept(subprotocol=next(iter(websocket.scope["subprotocols"]), None))
    if nonce is None:
        await answer(websocket)
        return
    heartbeat = {"interval": 20, "timeout": 20, "reconnectAfter": RECONNECT_AFTER}
    await websocket.send_text(f"{nonce}{json.dumps(heartbeat)}")
    try:
        await asyncio.wait_for(answer(websocket), timeout=LIFETIME)
    except TimeoutError:
        await websocket.close(1012, "service restart")


async def answer(websocket: WebSocket) -> None:
    name = websocket.path_params["name"]
    if greeting := GREETINGS.get(name):
        await websocket.send_text(greeting)
    while (event := await websocket.receive())["type"] == "websocket.receive":
        pattern, answer = ANSWERS.get(name, ("", ""))
        if answer and (match := re.fullmatch(pattern, event.get("text") or "")):
            await websocket.send_text(match.expand(answer))


async def negotiate(request: Request) -> JSONResponse:
    transport = {"transport": "WebSockets", "transferFormats": ["Text"]}
    connection = {"connectionId": "a", "connectionToken": "b", "negotiateVersion": 1}
    return JSONResponse({**connection, "availableTransports": [transport]})


restarting = Starlette(
    routes=[
        Route("/signalr/negotiate", negotiate, methods=["POST"]),
        WebSocketRoute("/{name}", serve),
        WebSocketRoute("/{name}/{rest:path}", serve),
        Mount("/", StaticFiles(directory=os.environ["PAGE"], html=True)),
    ]
)
kept = KeepaliveMiddleware(restarting, ping_interval=0.5, ping_timeout=1.0)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Tell each handshake: its path, its time, and whether it asks for heartbeats."""
    if scope["type"] == "websocket":
        name = scope["path"].split("/")[1].replace("socket.io", "socket.io-client")
        asks = b"asgi-keepalive=" in scope["query_string"]
        print(json.dumps({"name": name, "at": time.monotonic(), "asks": asks}), flush=True)
    await (restarting if LIFETIME else kept)(scope, receive, send)
