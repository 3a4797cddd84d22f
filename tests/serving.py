"""The servers that the tests run, each as a `Server`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import hypercorn
import hypercorn.asyncio
import uvicorn

from asgi_keepalive.extension import Application
from asgi_keepalive.servers.closing import POLL

from .server import Server

APPLICATION_FAILED = ("Exception in ASGI application", "Error in ASGI Framework")
"""How servers begin to tell of an exception that left the application."""

CANCELLED = (
    "Exception in callback StreamReaderProtocol",
    "Exception in callback <function StreamReaderProtocol",
)
"""What asyncio, until 3.11.8, says of each task that hypercorn cancels in the end."""


class Uvicorn(Server):
    """uvicorn; keywords are its settings."""

    def __init__(
        self, app: Application, *, loop: str, ws: Any, address: str = "127.0.0.1", **config: Any
    ) -> None:
        super().__init__(loop, address)
        self.config = uvicorn.Config(
            app, loop=loop, ws=ws, lifespan="off", log_config=None, **config
        )
        self._server = uvicorn.Server(self.config)

    async def serve(self) -> None:
        await self._server.serve(sockets=[self.socket])

    def exit(self) -> None:
        self._server.should_exit = True

    def is_up(self) -> bool:
        return self._server.started

    def connections(self) -> int:
        return len(self._server.server_state.connections)


class Hypercorn(Server):
    """hypercorn; keywords are its settings, or uvicorn's names of them."""

    def __init__(
        self,
        app: Application,
        *,
        loop: str,
        address: str = "127.0.0.1",
        ws_max_queue: int | None = 32,
        ws_ping_interval: float | None = None,
        ws_ping_timeout: float | None = None,
        ssl_certfile: str | None = None,
        **config: Any,
    ) -> None:
        super().__init__(loop, address)
        self._app = _with_lifespan(app)
        self._exit = asyncio.Event()
        self._up = False
        self.config = hypercorn.Config()
        listening = ([self.socket], []) if ssl_certfile else ([], [self.socket])
        self.config.create_sockets = lambda: hypercorn.config.Sockets(*listening, [])  # type: ignore[method-assign]
        self.config.errorlog = logging.getLogger("hypercorn.error")
        self.config.max_app_queue_size = ws_max_queue or 0
        self.config.websocket_ping_interval = ws_ping_interval
        self.config.certfile = self.config.keyfile = ssl_certfile
        self.config.graceful_timeout = 0.5
        for name, value in config.items():
            setattr(self.config, name, value)

    async def serve(self) -> None:
        async def until_exit() -> None:
            self._up = True
            await self._exit.wait()

        app: Any = self._app
        await hypercorn.asyncio.serve(app, self.config, shutdown_trigger=until_exit)
        await asyncio.sleep(2 * POLL)  # what looks for the end of a connection has to see it

    def exit(self) -> None:
        self.run(self._exit.set)

    def is_up(self) -> bool:
        return self._up

    def connections(self) -> int:
        def tasks() -> int:
            return sum("_server_callback" in repr(task) for task in asyncio.all_tasks(self.loop))

        return int(self.run(tasks))


def _with_lifespan(app: Application) -> Application:
    """Return an application that agrees to start and to exit."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for done in "startup", "shutdown":
                await receive()
                await send({"type": f"lifespan.{done}.complete"})
        else:
            await app(scope, receive, send)

    return wrapped


def serving(app: Application, *, ws: Any, **config: Any) -> Server:
    """Return one that serves an application: hypercorn, or uvicorn with that `--ws`."""
    return Hypercorn(app, **config) if ws == "hypercorn" else Uvicorn(app, ws=ws, **config)
