"""An application that tells stdout what its handlers see when their server is to exit."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from asgi_keepalive import KeepaliveMiddleware

from .applications import accept, code_at_exit, lifespan


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def handler(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    path = scope["path"]
    await accept(receive, send)
    tell(path=path)
    try:
        await asyncio.sleep(float(os.environ["WORK"]) if path == "/work" else 0)
    except asyncio.CancelledError:
        tell(path=path, told="cancelled")
        raise
    tell(path=path, told=await code_at_exit(receive))


app = KeepaliveMiddleware(handler, close_timeout=1)
