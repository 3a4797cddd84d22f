"""`python -m tests.faults.aiohttp_app PORT`: an echo on aiohttp, with its heartbeat."""

from __future__ import annotations

import sys

from aiohttp import WSMsgType, web

HEARTBEAT = 0.4


async def echo(request: web.Request) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(heartbeat=HEARTBEAT)
    await websocket.prepare(request)
    async for message in websocket:
        if message.type == WSMsgType.TEXT:
            await websocket.send_str(message.data)
    return websocket


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/", echo)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
