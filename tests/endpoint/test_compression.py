"""Compressed messages in fragments, with control frames between these: they arrive as sent.

daphne agrees on no compression.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from ..conftest import Reports, Serve
from ..faults.differential.frames import CONTINUATION, raw
from ..support.client import BINARY, PING, PONG, TEXT, Client
from ..support.deflate import Deflater, in_fragments

COMPRESSING = [
    "websockets-sansio",
    "wsproto",
    "websockets",
    "hypercorn",
    "asgi_keepalive.servers.uvicorn.sansio:KeepaliveProtocol",
    "asgi_keepalive.servers.uvicorn.wsproto:KeepaliveProtocol",
]

OFFERS = {
    True: "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    False: "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n",
}
"""By whether a message may refer to those before."""

pytestmark = pytest.mark.parametrize("ws", COMPRESSING, indirect=True)


def uploads(reports: Reports) -> Any:
    """Return an application that reports what it receives."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (event := await receive())["type"] == "websocket.receive":
                text = event.get("text")
                reports.put(event["bytes"] if text is None else text)

    return app


def opened(port: int, takeover: bool) -> Client:
    """Return a client with which compression has been agreed."""
    client = Client(port, headers=OFFERS[takeover])
    assert "permessage-deflate" in client.response()
    return client


def ping_and_answer(client: Client) -> None:
    """Wait for a Ping and answer it; send one and wait for its answer."""
    client.send(PONG, client.expect(PING))
    client.send(PING, b"mine")
    assert client.answer_until(PONG) == b"mine"


@pytest.mark.parametrize("takeover", OFFERS)
def test_upload_that_is_pinged(serve: Serve, reports: Reports, takeover: bool) -> None:
    server = serve(uploads(reports), ping_interval=0.005, ping_timeout=10)
    deflater = Deflater()
    with opened(server.port, takeover) as client:
        for number in range(3):
            message = random.Random(number).randbytes(200) * 20
            payload = (deflater if takeover else Deflater()).message(message)
            for part in in_fragments(BINARY, payload, *range(40, len(payload), 40)):
                client.socket.sendall(part)
                ping_and_answer(client)
            assert reports.get() == message


@pytest.mark.parametrize("takeover", OFFERS)
def test_everything_in_one_segment(serve: Serve, reports: Reports, takeover: bool) -> None:
    """Compressed, not compressed and empty messages, with control frames everywhere."""
    server = serve(uploads(reports), ping_interval=None)
    deflater = Deflater()
    frames: list[bytes] = []
    sent: list[str] = []
    for text in "a message " * 50, "", "\N{SNOWMAN}" * 100:
        payload = (deflater if takeover else Deflater()).message(text.encode())
        parts = in_fragments(TEXT, payload, *sorted({1, len(payload) // 2}))
        parts += [raw(TEXT, b"as it is", fin=False), raw(CONTINUATION, b"", fin=False)]
        frames += [*parts, raw(CONTINUATION, b" too")]
        sent += [text, "as it is too"]
    with opened(server.port, takeover) as client:
        control = raw(PING, b"ping") + raw(PONG, b"1234")
        client.socket.sendall(b"".join(frame + control for frame in frames))
        assert [reports.get() for _ in sent] == sent
        assert [client.expect(PONG) for _ in frames] == [b"ping"] * len(frames)
