"""Servers that announce their exit: what is particular to each."""

from __future__ import annotations

import asyncio
import weakref
from contextvars import ContextVar
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_keepalive.extension import Application
from asgi_keepalive.extension import Server as ServersSide
from asgi_keepalive.servers import find
from asgi_keepalive.servers.hypercorn import exiting

from ..conftest import Reports
from ..support.applications import accept
from ..support.client import CLOSE, Client, close_code
from ..support.fake_loop import in_no_time, ticks
from ..support.server import running
from ..support.serving import CANCELLED, Gunicorn, Uvicorn, serving
from ..support.timeouts import LATE


def closing(reports: Reports) -> Application:
    """Return an application that reports the exit, and closes the connection, or raises."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        def on_exit(grace: float) -> None:
            reports.put(grace)
            if scope["path"] == "/broken":
                raise RuntimeError("broken")
            fail(1012, "told", 0.2)

        server = find(scope, receive, send)
        assert isinstance(server, ServersSide)
        fail = server.extension["fail"]
        server.extension["announce_exit"](on_exit)
        await accept(server.receive, server.send)
        reports.put("accepted")
        await server.receive()

    return app


CODES = {"hypercorn": [1011]}
"""The codes of the Close frame that a server sends by itself, where it is not 1012."""


@pytest.mark.parametrize("ws", ["websockets-sansio", "websockets", "hypercorn", "gunicorn"])
def test_callback_that_raises_harms_nobody_else(ws: str, reports: Reports) -> None:
    """Everybody is told, and the server exits as it does by itself."""
    with (
        running(serving(closing(reports), ws=ws, loop="asyncio")) as server,
        Client(server.port, path="/broken").open() as broken,
        Client(server.port).open() as told,
    ):
        assert [reports.get(), reports.get()] == ["accepted", "accepted"]
        server.exit()
        assert close_code(told.expect(CLOSE)) == (1012, "told")
        codes = [close_code(data)[0] for _, data in broken.until_end()]
        assert codes == CODES.get(ws, [1012])
        assert server.stop() < 1 + LATE
        grace = {"hypercorn": 0.5, "gunicorn": pytest.approx(0.5, abs=0.1)}.get(ws, inf)
        assert [reports.get(), reports.get()] == [grace, grace]
        [complaint] = [
            one for one in server.complaints() if not one.getMessage().startswith(CANCELLED)
        ]
        assert complaint.getMessage().startswith("on_exit raises, so the server closes")


class Worker:
    """A worker of gunicorn's, which runs uvicorn.

    Args:
        graceful_timeout: When gunicorn kills it.
    """

    def __init__(self, graceful_timeout: float) -> None:
        self.cfg = SimpleNamespace(graceful_timeout=graceful_timeout, timeout=60)

    def notify(self) -> None: ...

    async def callback_notify(self) -> None:
        self.notify()


@pytest.mark.parametrize(
    ("own", "worker", "grace"), [(5, None, 5), (60, 30, 29), (None, 30, 29), (None, 0.5, 0)]
)
def test_grace_of_uvicorn(
    own: float | None, worker: float | None, grace: float, reports: Reports
) -> None:
    config: dict[str, Any] = {"timeout_graceful_shutdown": own}
    if worker is not None:
        config["callback_notify"] = Worker(worker).callback_notify
    with (
        running(Uvicorn(closing(reports), loop="asyncio", ws="wsproto", **config)) as server,
        Client(server.port).open(),
    ):
        assert reports.get() == "accepted"
        server.exit()
        assert reports.get() == grace


class Watched:
    """A connection of hypercorn's, as far as its exit needs it."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def announce_exit(self, grace: float) -> None:
        self.told.append(grace)


def worker() -> Any:
    """Return the `TCPServer` of a connection of a new worker."""

    class Context:
        terminated = asyncio.Event()

    return SimpleNamespace(
        context=Context(),
        config=SimpleNamespace(graceful_timeout=3, workers=1),
        loop=asyncio.get_running_loop(),
    )


class TestHypercorn:
    @in_no_time
    async def test_those_that_are_left_are_told(self) -> None:
        tcp, connections = worker(), [Watched() for _ in range(3)]
        for one in connections:
            exiting.watch(tcp, one)  # type: ignore[arg-type]
        exiting.unwatch(tcp, connections[1])  # type: ignore[arg-type]
        await ticks()
        tcp.context.terminated.set()
        await ticks()
        assert [one.told for one in connections] == [[3], [], [3]]

    @in_no_time
    async def test_nothing_is_left_of_the_last_connection(self) -> None:
        var: ContextVar[Any] = ContextVar("var")
        tcp, one = worker(), Watched()
        before = asyncio.all_tasks()
        of_the_application = Watched()
        gone = weakref.ref(of_the_application)
        var.set(of_the_application)
        del of_the_application
        for _ in range(2):
            exiting.watch(tcp, one)  # type: ignore[arg-type]
            var.set(None)
            assert gone() is None  # the task has no context of the application
            exiting.unwatch(tcp, one)  # type: ignore[arg-type]
            await ticks()
            assert asyncio.all_tasks() == before
            assert tcp.context not in exiting._exits
        exiting.unwatch(tcp, one)  # type: ignore[arg-type]

    @in_no_time
    async def test_worker_that_exits_already(self) -> None:
        tcp, one = worker(), Watched()
        tcp.context.terminated.set()
        exiting.watch(tcp, one)  # type: ignore[arg-type]
        await ticks()
        assert one.told == []


def test_gunicorn_that_exits_at_once_tells_nobody(reports: Reports) -> None:
    with running(Gunicorn(closing(reports), loop="asyncio", graceful_timeout=5)) as server:
        assert isinstance(server, Gunicorn)
        with Client(server.port).open() as client:
            assert reports.get() == "accepted"
            server._worker._quick_shutdown = True  # as SIGINT does
            assert server.stop() < 1 + LATE
            assert close_code(client.expect(CLOSE)) == (1012, "")
    assert reports.empty()
