"""How a connection of hypercorn's ends, where it is not what the promises say anyway."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import KeepaliveMiddleware, get_keepalive
from asgi_keepalive.endpoint.kernel import reset_on_close

from ..conftest import Reports, Serve
from ..support.applications import accept
from ..support.client import BINARY, CLOSE, PING, TEXT, Client, close_code, frame
from ..support.server import freed, kernel_sockets, running, wait_until
from ..support.serving import APPLICATION_FAILED, serving
from ..support.timeouts import LATE

MAX_SIZE = 1000
GRACE = 0.5
"""hypercorn's `graceful_timeout` in these tests, in seconds."""

ANSWER = frame(CLOSE, b"\x0f\xa0")
"""It has the code 4000."""


@pytest.fixture
def ws() -> str:
    return "hypercorn"


secure = pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])


class TestOwnClose:
    """The application closes."""

    @pytest.mark.parametrize(
        ("crossing", "code"),
        [
            (frame(PING, b"ping") * 3, 4000),
            (frame(BINARY, bytes(2 * MAX_SIZE)) * 2, 1000),  # hypercorn's own
            (frame(TEXT, b"\xff"), 1000),
            (b"\x81\x05hello", 1000),
        ],
        ids=["pings", "too-large", "not-utf-8", "not-masked"],
    )
    def test_what_crosses_it(
        self, serve: Serve, reports: Reports, crossing: bytes, code: int
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            await send({"type": "websocket.close", "code": 4000})
            reports.put(await receive())

        server = serve(app, websocket_max_message_size=MAX_SIZE, close_timeout=8)
        with Client(server.port).open() as client:
            assert close_code(client.expect(CLOSE))[0] == 4000
            client.socket.sendall(crossing + ANSWER)
            assert reports.get()["code"] == code
            with pytest.raises(EOFError):
                client.receive()
        freed(server, client, 0)

    @secure
    @pytest.mark.parametrize("ends", ["closes", "returns", "raises"])
    def test_peer_that_answers_at_once_gets_a_fin(
        self,
        serve: Serve,
        ends: str,
        secure: bool,
        tls: ssl.SSLContext,
        tls_config: dict[str, str],
    ) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await accept(receive, send)
            if ends == "closes":
                await send({"type": "websocket.close", "code": 4000})
            elif ends == "raises":
                raise ValueError("the application's")

        server = serve(
            app, ping_interval=None, expect=APPLICATION_FAILED, **(tls_config if secure else {})
        )
        for _ in range(20):
            with Client(server.port, tls=tls if secure else None).open() as client:
                client.expect(CLOSE)
                client.socket.sendall(ANSWER + b"and more")
                with pytest.raises(EOFError):
                    client.receive()
        freed(server, client, 0)


def test_peer_that_goes_on_sending_is_told_what_was_wrong(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await receive()

    server = serve(app, websocket_max_message_size=MAX_SIZE, close_timeout=8)
    with Client(server.port).open() as client:
        client.socket.sendall(frame(BINARY, bytes(2 * MAX_SIZE)))
        for _ in range(50):
            client.socket.sendall(bytes(65536))
        assert close_code(client.expect(CLOSE))[0] == 1009
        with pytest.raises(EOFError):
            client.receive()
    freed(server, client, 0)


class TestPeerThatLeavesBeforeAccept:
    """The application cannot know, and must be told all the same."""

    @pytest.fixture
    def play(self, serve: Serve, reports: Reports) -> Callable[[Any, bool], Any]:
        """Let a client leave in the midst of the handshake; return what an application tells."""

        def play(application: Any, resets: bool) -> Any:
            gone = asyncio.Event()

            async def app(scope: Any, receive: Any, send: Any) -> None:
                await receive()
                reports.put("connected")
                await gone.wait()
                reports.put(await application(receive, send))

            server = serve(app)
            with Client(server.port) as client:
                assert reports.get() == "connected"
                if resets:
                    reset_on_close(client.socket)
            wait_until(lambda: not kernel_sockets(server.port, client.port))
            server.run(gone.set)
            return reports.get()

        return play

    @pytest.mark.parametrize("resets", [False, True])
    def test_application_that_only_sends(
        self, play: Callable[[Any, bool], Any], resets: bool
    ) -> None:
        async def sends(receive: Any, send: Any) -> int:
            await send({"type": "websocket.accept"})
            for count in range(10):
                try:
                    await send({"type": "websocket.send", "text": "too late"})
                except OSError:
                    return count
            return 10

        assert play(sends, resets) <= 1

    def test_application_that_receives(self, play: Callable[[Any, bool], Any]) -> None:
        async def receives(receive: Any, send: Any) -> Any:
            await send({"type": "websocket.accept"})
            return (await receive())["code"]

        assert play(receives, False) == 1006

    def test_application_that_denies(self, play: Callable[[Any, bool], Any]) -> None:
        async def denies(receive: Any, send: Any) -> Any:
            with pytest.raises(ConnectionError):
                await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
            return "told"

        assert play(denies, False) == "told"


def test_denial_is_not_taken_for_an_end(serve: Serve, reports: Reports) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"thing"})
        reports.put("denied")

    server = serve(app)
    with Client(server.port) as client:
        assert " 401 " in client.response()
        assert reports.get() == "denied"


@secure
@pytest.mark.parametrize("resets", [False, True])
def test_peer_that_leaves_before_the_connection_is_taken_over(
    ws: str,
    loop: str,
    reports: Reports,
    resets: bool,
    secure: bool,
    tls: ssl.SSLContext,
    tls_config: dict[str, str],
) -> None:
    """Something outside the middleware takes its time."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        keepalive = get_keepalive(scope)
        await accept(receive, send)
        with pytest.raises(ConnectionError):
            await keepalive.ping()
        with pytest.raises(ConnectionError):
            await send({"type": "websocket.send", "text": "too late"})
        reports.put((await receive())["code"])
        await send({"type": "websocket.close"})

    middleware = KeepaliveMiddleware(app)

    async def late(scope: Any, receive: Any, send: Any) -> None:
        reports.put("connected")
        while not send.__self__.closed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await middleware(scope, receive, send)
        transport = send.__self__.send.__self__.send.__self__.writer._transport
        reports.put(transport._abort_timer)

    config = tls_config if secure else {}
    with running(serving(late, ws=ws, loop=loop, **config)) as server:
        with Client(server.port, tls=tls if secure else None) as client:
            assert reports.get() == "connected"
            if resets:
                reset_on_close(client.socket)
        assert reports.get() == 1006
        timer = reports.get()
        assert timer is None or not (secure or resets)  # as there is nothing to abort
        freed(server, client, 0)
        assert server.complaints() == []


@secure
def test_exit_waits_for_no_client(
    serve: Serve, secure: bool, tls: ssl.SSLContext, tls_config: dict[str, str]
) -> None:
    """Since Python 3.12 asyncio's server by itself waits until its last client has left."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        with suppress(asyncio.CancelledError):
            await receive()

    server = serve(app, ping_interval=None, close_timeout=1, **(tls_config if secure else {}))
    with Client(server.port, tls=tls if secure else None).open() as client:
        server.exit()
        answer = threading.Thread(target=client.until_end)
        answer.start()
        assert server.stop() < GRACE + 1 + LATE
        answer.join()
