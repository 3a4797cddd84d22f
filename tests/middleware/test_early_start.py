"""Applications that begin before their server is ready."""

from __future__ import annotations

import asyncio

import pytest

from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.extension import Server
from asgi_keepalive.servers.advice import Advice

from ..support.fake_loop import in_no_time
from ..support.middleware import Recorder, unused


class TestEarlyStart:
    """Eager tasks run an application before its server has the connection complete."""

    @pytest.fixture
    def looks(self, monkeypatch: pytest.MonkeyPatch) -> list[str | Server]:
        """What each look for the server finds, the last first."""
        extension = {"take_over": lambda *callbacks: None, "ping": lambda payload: None}
        server = Server(unused, unused, extension, unused)
        looks: list[str | Server] = [server, Advice("not yet")]
        monkeypatch.setattr("asgi_keepalive.middleware.find", lambda *calls: looks.pop())
        return looks

    @in_no_time
    async def test_server_is_looked_for_again(self, looks: list[str | Server]) -> None:
        app = Recorder()
        asyncio.get_running_loop().set_task_factory(
            lambda loop, coroutine, **options: asyncio.Task(coroutine, loop=loop, **options)
        )
        await KeepaliveMiddleware(app)({"type": "websocket"}, unused, unused)
        assert get_keepalive(app.calls[0][0]).supported
        assert looks == []

    @in_no_time
    async def test_but_not_where_tasks_begin_late(self, looks: list[str | Server]) -> None:
        app = Recorder()
        await KeepaliveMiddleware(app)({"type": "websocket"}, unused, unused)
        assert not get_keepalive(app.calls[0][0]).supported
        assert len(looks) == 1

    def test_nor_on_another_event_loop(self, looks: list[str | Server]) -> None:
        app = Recorder()
        running = KeepaliveMiddleware(app)({"type": "websocket"}, unused, unused)
        with pytest.raises(StopIteration):
            running.send(None)
        assert not get_keepalive(app.calls[0][0]).supported
        assert len(looks) == 1
