"""How a connection of hypercorn's ends, where it is not what the promises say anyway."""

from __future__ import annotations

from typing import Any

import pytest

from .client import BINARY, CLOSE, PING, TEXT, Client, close_code, frame
from .conftest import Reports, Serve
from .test_promises import accept, freed

MAX_SIZE = 1000

ANSWER = frame(CLOSE, b"\x0f\xa0")
"""It has the code 4000."""


@pytest.fixture
def ws() -> str:
    return "hypercorn"


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
