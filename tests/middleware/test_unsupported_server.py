"""P10: on a server that it does not know the application runs as if unwrapped."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, KeepaliveUnsupported, get_keepalive
from asgi_keepalive.extension import Scope

from ..support.fake_loop import in_no_time
from ..support.middleware import UNSUPPORTED, Recorder, unused


class TestUnsupportedServer:
    @pytest.mark.parametrize("extensions", [None, {}, {"websocket.http.response": {}}])
    @in_no_time
    async def test_application_runs_as_if_unwrapped(self, extensions: Any) -> None:
        app = Recorder()
        scope = {"type": "websocket", "extensions": extensions}
        await KeepaliveMiddleware(app)(scope, unused, unused)
        [(passed, receive, send)] = app.calls
        assert (receive, send) == (unused, unused)
        assert {**passed, "state": None} == {**scope, "state": None}
        keepalive = get_keepalive(passed)
        assert not keepalive.supported
        with pytest.raises(KeepaliveUnsupported):
            await keepalive.ping()

    @in_no_time
    async def test_one_warning_per_middleware(self, caplog: pytest.LogCaptureFixture) -> None:
        scope: Scope = {"type": "websocket"}
        first, second = KeepaliveMiddleware(Recorder()), KeepaliveMiddleware(Recorder())
        await first({**scope}, unused, unused)
        await first({**scope}, unused, unused)
        warning = UNSUPPORTED.format("tests.support.middleware.unused")
        assert caplog.record_tuples == [("asgi_keepalive", logging.WARNING, warning)]
        await second({**scope}, unused, unused)
        assert caplog.messages == [warning] * 2

    @in_no_time
    async def test_no_warning_without_websockets(self, caplog: pytest.LogCaptureFixture) -> None:
        await KeepaliveMiddleware(Recorder())({"type": "http"}, unused, unused)
        assert caplog.records == []

    @in_no_time
    async def test_bound_method_of_an_unknown_object(self) -> None:
        app = Recorder()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        await KeepaliveMiddleware(app)({"type": "websocket"}, queue.get, queue.put)
        assert not get_keepalive(app.calls[0][0]).supported
