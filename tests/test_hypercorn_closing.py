"""How a connection of hypercorn's ends, where it is not what the promises say anyway."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from .client import BINARY, CLOSE, PING, TEXT, Client, close_code, frame
from .conftest import Reports, Serve
from .serving import APPLICATION_FAILED
from .test_promises import accept, freed

MAX_SIZE = 1000

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
            (frame(TEXT, b"late"), 4000),
            (frame(BINARY, bytes(2 * MAX_SIZE)) * 2, 4000),
            (frame(TEXT, b"\xff"), 1000),  # hypercorn's own
            (b"\x81\x05hello", 1000),
        ],
        ids=["pings", "message", "too-large", "not-utf-8", "not-masked"],
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
