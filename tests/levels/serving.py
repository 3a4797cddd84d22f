"""The server that is made from the page alone, as the tests run it."""

from __future__ import annotations

import asyncio

from asgi_keepalive.extension import Application

from ..support.server import Server
from . import page_server
from .page_levels import Declaring


class PageServer(Server):
    """It declares the functions of the extension up to a level."""

    def __init__(self, app: Application, level: int) -> None:
        super().__init__("asyncio", "127.0.0.1")
        self._app = app
        self._connection = type("Connection", (Declaring,), {"level": level})
        self._stop = asyncio.Event()

    async def serve(self) -> None:
        await page_server.serve(self._app, self.socket, self._connection, self._stop)

    def exit(self) -> None:
        self.run(self._stop.set)

    def is_up(self) -> bool:
        return self.loop is not None

    def connections(self) -> int:
        return 0
