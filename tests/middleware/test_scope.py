"""What the middleware does with a scope."""

from __future__ import annotations

import pytest

from asgi_keepalive import Keepalive, KeepaliveMiddleware

from ..support.fake_loop import FakeServer, in_no_time
from ..support.middleware import Recorder, unused


class TestScope:
    @pytest.mark.parametrize("kind", ["http", "lifespan", "webtransport"])
    @in_no_time
    async def test_other_types_pass_untouched(self, kind: str) -> None:
        app = Recorder()
        scope = {"type": kind, "state": {"keepalive": "mine"}, "extensions": {"websocket.ping": {}}}
        before = {**scope}
        await KeepaliveMiddleware(app)(scope, unused, unused)
        [(passed, receive, send)] = app.calls
        assert (passed, receive, send) == (scope, unused, unused)
        assert passed is scope
        assert scope == before

    @in_no_time
    async def test_websocket(self) -> None:
        app = Recorder()
        state = {"database": object()}
        server = FakeServer(KeepaliveMiddleware(app), state=state)
        before = {**server.scope}
        await server.task
        [(scope, _, _)] = app.calls
        assert scope["extensions"] == {"websocket.http.response": {}}
        assert scope["state"] is state
        assert isinstance(state["keepalive"], Keepalive)
        changed = {key for key in before if scope[key] is not before[key]}
        assert changed == {"extensions"}
        # The server's own is left alone, so that it can be used again.
        assert server.scope == before
        assert "websocket.ping" in server.scope["extensions"]

    @in_no_time
    async def test_server_without_state(self) -> None:
        app = Recorder()
        server = FakeServer(KeepaliveMiddleware(app))
        del server.scope["state"]
        await server.task
        [(scope, _, _)] = app.calls
        assert list(scope["state"]) == ["keepalive"]
        assert "state" not in server.scope

    @in_no_time
    async def test_foreign_object_under_the_key_is_refused(self) -> None:
        app = Recorder()
        server = FakeServer(KeepaliveMiddleware(app), state={"keepalive": {"mine": 1}})
        with pytest.raises(TypeError) as raised:
            await server.task
        assert str(raised.value) == (
            'scope["state"]["keepalive"] is the place of KeepaliveMiddleware, '
            "but it holds {'mine': 1}"
        )
        assert app.calls == []
