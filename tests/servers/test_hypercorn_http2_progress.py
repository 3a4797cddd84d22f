"""`liveness="progress"` over HTTP/2, where the kernel's counters belong to all streams."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest

from asgi_keepalive import KeepaliveTimeout, get_keepalive

from ..conftest import Reports
from ..support.applications import accept, stream
from ..support.client import BINARY, PING, PONG, frame
from ..support.server import logged
from ..support.timeouts import LATE, TIMEOUT
from .http2 import Serve2, serve

__all__ = ["serve"]

SIZE = 2_000_000


def told(reports: Reports, size: int = 0, then: Any = None) -> Any:
    """Return an application that sends a message, and tells what becomes of the connection."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        keepalive = get_keepalive(scope)
        received = 0
        with suppress(KeepaliveTimeout):
            if size:
                await send({"type": "websocket.send", "bytes": bytes(size)})
            if then is not None:
                await then(send)
            while (event := await receive())["type"] == "websocket.receive":
                received += len(event["bytes"])
        reports.put((time.monotonic(), keepalive.verdict, received))

    return app


@pytest.mark.parametrize("liveness", ["pong", "progress"])
def test_slow_reader(serve: Serve2, reports: Reports, liveness: str) -> None:
    served = serve(told(reports, SIZE), liveness=liveness)
    with served.connect(receive_buffer=65536) as client:
        one = client.open()
        while len(one.buffer) < SIZE and not one.is_over():
            before = len(one.buffer)
            client.read()
            time.sleep((len(one.buffer) - before) / 2_000_000)
        if liveness == "pong":
            assert reports.get()[1].reason == "frozen"
            return
        assert one.expect(BINARY) == bytes(SIZE)
        one.send(PONG, one.expect(PING))
    assert reports.get()[1] is None
    assert len(logged(served.server, "no Pong for Ping")) >= 2


def test_slow_writer(serve: Serve2, reports: Reports) -> None:
    served = serve(told(reports), liveness="progress")
    data = frame(BINARY, bytes(900_000))
    with served.connect() as client:
        one = client.open()
        for start in range(0, len(data), 10_000):
            one.send_data(data[start : start + 10_000])
            time.sleep(0.01)
        one.send(PONG, one.expect(PING))
        one.cancel()
    assert reports.get()[1:] == (None, 900_000)
    assert len(logged(served.server, "no Pong for Ping")) >= 2


@pytest.mark.parametrize("then", [None, stream])
def test_dead_peer(serve: Serve2, reports: Reports, then: Any) -> None:
    served = serve(told(reports, then=then), liveness="progress")
    with served.connect(receive_buffer=65536) as client:
        client.open()
        at, verdict, _ = reports.get()
    [ping, *_] = logged(served.server, "Ping ")
    assert at - ping.at < 2 * TIMEOUT + LATE  # type: ignore[attr-defined]
    assert verdict.reason == ("frozen" if then else "silent")
    assert (verdict.acknowledged, verdict.received) == (None, 0)
    assert len(logged(served.server, "no Pong for Ping")) <= 1
