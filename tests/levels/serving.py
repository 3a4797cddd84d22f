"""The server that is made from the page alone, as the tests run it."""

from __future__ import annotations

import asyncio

from asgi_keepalive.extension import Application

from ..support.server import Server
from . import page_server
from .page_levels import Declaring


class PageServer(Server):
    """It declares the functions of the extension up to a level."""

    def __init__(
        self,
        app: Application,
        level: int,
        connection: type[Declaring] = Declaring,
        loop: str = "asyncio",
        ping_interval: float | None = None,
    ) -> None:
        super().__init__(loop, "127.0.0.1")
        self._app = app
        self._connection = type("Connection", (connection,), {"level": level})
        self._stop = asyncio.Event()
        self._ping_interval = ping_interval

    async def serve(self) -> None:
        await page_server.serve(
            self._app, self.socket, self._connection, self._stop, self._ping_interval
        )

    def exit(self) -> None:
        self.run(self._stop.set)

    def is_up(self) -> bool:
        return self.loop is not None

    def connections(self) -> int:
        return 0
