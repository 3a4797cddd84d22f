"""The servers that the tests run, each as a `Server`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from types import SimpleNamespace
from typing import Any

import daphne.server  # type: ignore[import-untyped]
import gunicorn.config  # type: ignore[import-untyped]
import hypercorn
import hypercorn.asyncio
import twisted.internet
import uvicorn
from gunicorn.workers.gasgi import ASGIWorker  # type: ignore[import-untyped]
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from asgi_keepalive.extension import Application

from .applications import lifespan
from .server import LAST_LOOK, Server

APPLICATION_FAILED = (
    "Exception in ASGI application",
    "Error in ASGI Framework",
    "Error in WebSocket ASGI application",
    "Exception inside application",
)
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

    def transports(self) -> list[Any]:
        """Return those of all connections."""
        return [one.transport for one in list(self._server.server_state.connections)]


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
            await lifespan(receive, send)
        else:
            await app(scope, receive, send)

    return wrapped


class _Reactors(threading.local):
    """Stands for the reactor of the thread, where Twisted knows only one for the process."""

    current: AsyncioSelectorReactor

    def __getattr__(self, name: str) -> Any:
        if name == "current":
            raise AttributeError("this thread has no reactor")
        return getattr(self.current, name)


_reactors: Any = _Reactors()
daphne.server.twisted_loop.close()
sys.modules["twisted.internet.reactor"] = _reactors
twisted.internet.reactor = _reactors
daphne.server.reactor = _reactors


def _tell_of_failure(event: LogEvent) -> None:
    """Pass on what Twisted catches, which daphne silences."""
    # At exit, daphne stumbles over a connection that has no application (any more).
    if "log_failure" in event and not event["log_failure"].check(KeyError):
        logging.getLogger("daphne.twisted").error("%s", formatEvent(event))


globalLogPublisher.addObserver(_tell_of_failure)  # type: ignore[arg-type]


class Daphne(Server):
    """daphne; keywords are uvicorn's names of its settings."""

    def __init__(
        self,
        app: Application,
        *,
        loop: str,
        address: str = "127.0.0.1",
        ws_max_queue: int | None = None,  # of which it knows nothing
        ws_ping_interval: float = 20.0,
        ws_ping_timeout: float = 30.0,
        ssl_certfile: str | None = None,
    ) -> None:
        super().__init__(loop, address)
        self.socket.close()
        endpoint = f"0:interface={address}"
        if ssl_certfile is not None:
            endpoint += f":privateKey={ssl_certfile}:certKey={ssl_certfile}"
        self._up = False
        self._server = daphne.server.Server(
            app,
            endpoints=[f"{'ssl' if ssl_certfile else 'tcp'}:{endpoint}"],
            signal_handlers=False,
            ping_interval=ws_ping_interval,
            ping_timeout=ws_ping_timeout,
            ready_callable=self._ready,
        )

    def _ready(self) -> None:
        self.port = self._server.listening_addresses[0][1]
        self._up = True

    def _run(self) -> None:
        self.loop = asyncio.SelectorEventLoop()
        self._reactor = _reactors.current = AsyncioSelectorReactor(self.loop)
        try:
            self._server.run()
        finally:
            # The end of the process would do the rest.
            for reader in self._reactor._internalReaders:
                reader.connectionLost(None)
            for task in (tasks := asyncio.all_tasks(self.loop)):
                task.cancel()
            rest = asyncio.gather(asyncio.sleep(LAST_LOOK), *tasks, return_exceptions=True)
            self.loop.run_until_complete(rest)
            self.loop.close()

    async def serve(self) -> None:
        raise NotImplementedError  # Twisted runs the loop

    def exit(self) -> None:
        self.run(self._reactor.stop)

    def is_up(self) -> bool:
        return self._up

    def connections(self) -> int:
        return int(self._server.ws_factory.countConnections)


class Gunicorn(Server):
    """gunicorn's own `asgi` worker; keywords are its settings, or uvicorn's names of them."""

    def __init__(
        self,
        app: Application,
        *,
        loop: str,
        address: str = "127.0.0.1",
        ws_max_queue: int = 32,  # its own, which cannot be set
        ws_max_size: int = 2**24,
        ws_ping_interval: float | None = None,  # it has none
        ws_ping_timeout: float | None = None,
        ssl_certfile: str | None = None,
        **config: Any,
    ) -> None:
        super().__init__(loop, address)
        cfg = gunicorn.config.Config()
        settings = {
            "asgi_lifespan": "off",
            "certfile": ssl_certfile,
            "graceful_timeout": 1,
            "keyfile": ssl_certfile,
            "websocket_max_message_size": ws_max_size,
            **config,
        }
        for name, value in settings.items():
            cfg.settings[name].value = value  # `set` refuses what is no whole second
        log: Any = logging.LoggerAdapter(logging.getLogger("gunicorn.error"))
        log.access_log_enabled = False
        listener = SimpleNamespace(sock=self.socket, close=self.socket.close)
        self._worker: Any = ASGIWorker(0, os.getppid(), [listener], None, 30, cfg, log)
        self._worker.asgi = app
        self._serving: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        self._worker.loop = self.loop
        self._serving = asyncio.create_task(self._worker._serve())
        await self._serving
        self._worker.tmp.close()

    def exit(self) -> None:
        assert self._serving is not None
        if self._worker.alive:
            self._worker.alive = False
            self._worker.notify()
            self.run(self._serving.cancel)  # it looks only once a second whether it is to exit

    def is_up(self) -> bool:
        return bool(self._worker.servers)

    def connections(self) -> int:
        return int(self._worker.nr_conns)


OTHERS = {"hypercorn": Hypercorn, "daphne": Daphne, "gunicorn": Gunicorn}


def serving(app: Application, *, ws: Any, **config: Any) -> Server:
    """Return one that serves an application: another server, or uvicorn with that `--ws`."""
    other = OTHERS.get(ws)
    return other(app, **config) if other else Uvicorn(app, ws=ws, **config)
