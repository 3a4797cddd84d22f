"""Closing while the peer talks: its answer is read, however much is unread."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from .conftest import Reports, Serve
from .support.client import BINARY, CLOSE, PING, PONG, Client, close_code, frame

CODE = 4000
"""The code of the application's Close; daphne lets it have no other than 1000 or from 3000 on."""

ANSWER = CODE.to_bytes(2, "big")
"""What a Close frame with that code contains."""


def closing(reports: Reports, *, drains: bool = False) -> tuple[Any, asyncio.Event, asyncio.Event]:
    """Return an application that is busy until it closes, and what lets it do so, and return."""
    closes, returns = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal drains
        await receive()
        await send({"type": "websocket.accept"})
        reports.put("busy")
        await closes.wait()
        await send({"type": "websocket.close", "code": CODE})
        while drains:
            event = await receive()
            reports.put(event["type"])
            drains = event["type"] == "websocket.receive"
        with suppress(TimeoutError):
            await asyncio.wait_for(returns.wait(), 5)

    return app, closes, returns


@contextmanager
def streaming(client: Client, size: int) -> Iterator[Callable[[], None]]:
    """Let a client send messages of this size; yield what makes it answer a Close, and stop."""
    stop = threading.Event()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    data = frame(BINARY, bytes(size)) * max(1, 8192 // size)

    def stream() -> None:
        while not stop.is_set():
            client.socket.sendall(data)
        client.send(CLOSE, ANSWER)

    thread = threading.Thread(target=stream)
    thread.start()
    try:
        yield stop.set
    finally:
        stop.set()
        thread.join()


def fin(client: Client) -> float:
    """Return in how many seconds the server has closed TCP; a RST raises."""
    began = time.monotonic()
    with pytest.raises(EOFError):
        client.receive()
    return time.monotonic() - began


class TestClosingHandshake:
    @pytest.mark.parametrize("size", [20, 65536])
    def test_while_the_peer_streams(self, serve: Serve, reports: Reports, size: int) -> None:
        app, closes, returns = closing(reports)
        server = serve(app, ping_interval=None, close_timeout=8)
        with Client(server.port).open() as client, streaming(client, size) as answer:
            assert reports.get() == "busy"
            time.sleep(0.1)  # until reading has paused
            server.run(closes.set)
            assert close_code(client.expect(CLOSE))[0] == CODE
            answer()
            assert fin(client) < 4
            server.run(returns.set)

    @pytest.mark.parametrize(("count", "size"), [(0, 0), (1, 10), (40, 10), (8, 200_000)], ids=str)
    def test_with_messages_unread(
        self, serve: Serve, reports: Reports, count: int, size: int
    ) -> None:
        app, closes, returns = closing(reports)
        server = serve(app, ping_interval=None, close_timeout=8)
        with Client(server.port).open() as client:
            client.socket.sendall(frame(BINARY, bytes(size)) * count)
            assert reports.get() == "busy"
            time.sleep(0.1)  # until they have come
            server.run(closes.set)
            assert close_code(client.expect(CLOSE))[0] == CODE
            client.send(CLOSE, ANSWER)
            assert fin(client) < 4
            server.run(returns.set)


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto", "hypercorn"], indirect=True)
def test_what_had_come_can_be_received_after_an_own_close(serve: Serve, reports: Reports) -> None:
    app, closes, returns = closing(reports, drains=True)
    server = serve(app, ping_interval=None)
    with Client(server.port).open() as client:
        client.socket.sendall(frame(BINARY, b"unread") * 30 + frame(PING))
        assert reports.get() == "busy"
        client.expect(PONG)  # so they have come
        server.run(closes.set)
        client.expect(CLOSE)
        client.send(CLOSE, ANSWER)
        server.run(returns.set)
        told = [reports.get() for _ in range(31)]
        assert told == ["websocket.receive"] * 30 + ["websocket.disconnect"]
