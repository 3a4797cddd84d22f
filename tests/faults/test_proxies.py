"""Real proxies between the peers and the server, which cut what is idle for 3 s."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from asgi_keepalive import Keepalive, KeepaliveTimeout, get_keepalive
from asgi_keepalive.endpoint.kernel import reset_on_close
from asgi_keepalive.extension import Application

from ..conftest import Reports, Serve
from ..support.applications import accept, echo
from ..support.client import CLOSE, PING, TEXT, Client, close_code, cut_off
from ..support.process import stopped
from ..support.server import Server, kernel_sockets, logged, wait_until
from ..support.timeouts import CLOSE_TIMEOUT, FAILED, LOGGED
from .peer import peer
from .proxies import Haproxy, Nginx
from .proxy import IDLE_TIMEOUT, ReloadableProxy

TIMED_OUT = (1011, "keepalive ping timeout")
LATE = 1.5
"""How much later than promised a loaded machine may be, in seconds; the proxies wait longer."""

StartProxy = Callable[[Server], ReloadableProxy]


@pytest.fixture(params=[Nginx, Haproxy], ids=["nginx", "haproxy"])
def proxy(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StartProxy]:
    """Start a proxy before a server, which shall tell its application the proxy's own port."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "")
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(request.param(tmp_path, server.port))


@pytest.fixture(params=["/receive", "/stream"])
def path(request: pytest.FixtureRequest) -> str:
    """What the application does."""
    return str(request.param)


def application(reports: Reports) -> Application:
    """Return an application that receives, or at /stream sends without end.

    It tells the port that the proxy connects from, then how the connection ended: what `send`
    raised, and the event of `receive`.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        reports.put((scope["client"][1], get_keepalive(scope)))
        raised = None
        if scope["path"] == "/stream":
            try:
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(65536)})
                    await asyncio.sleep(0)
            except OSError as error:
                raised = type(error)
        reports.put((raised, await receive(), time.monotonic()))

    return app


def has_timed_out(reports: Reports, path: str) -> None:
    """Wait until the application has been told that its peer is dead."""
    raised, event, _ = reports.get()
    assert raised is (KeepaliveTimeout if path == "/stream" else None)
    assert event == FAILED


def has_left(reports: Reports, keepalive: Keepalive, path: str) -> None:
    """Wait until the application has been told that its peer has gone, in the server's words."""
    raised, event, _ = reports.get()
    assert (raised is not None) == (path == "/stream")
    assert event["type"] == "websocket.disconnect"
    assert event["code"] in (1005, 1006)
    assert not keepalive.timed_out


def freed(server: Server, port: int, within: float) -> None:
    """Wait until neither the server nor the kernel holds anything of the proxy's connection."""
    wait_until(lambda: not kernel_sockets(server.port, port), timeout=within + LATE)
    wait_until(lambda: not server.connections(), timeout=LATE)


def is_backed_up(server: Server, port: int) -> bool:
    """Whether the kernel keeps data on the server's side that the proxy does not take."""
    return sum(unsent for _, unsent in kernel_sockets(server.port, port)) > 10_000


def receive_some(client: Client, path: str) -> None:
    """See to it that data streams, if it does."""
    if path == "/stream":
        for _ in range(10):
            client.receive()


def wait_for_ping(server: Server, port: int, path: str) -> None:
    """Wait until a Ping has been sent, to a client that answers none."""
    wait_until(lambda: logged(server, f":{port} {path}: Ping "))


def reads_the_close_frame(client: Client) -> None:
    """Read until the end, which has to come before the proxy makes one."""
    began = time.monotonic()
    *_, (opcode, payload) = client.until_end()
    assert opcode == CLOSE
    assert close_code(payload) == TIMED_OUT
    assert time.monotonic() - began < 0.9 * IDLE_TIMEOUT


def reads_nothing_more(client: Client) -> None:
    """Read what has arrived; no end has."""
    client.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        client.until_end()


def reset(client: Client) -> None:
    reset_on_close(client.socket)
    client.close()


def half_close(client: Client) -> None:
    client.socket.shutdown(socket.SHUT_WR)
    client.until_end()


def exchange(client: Client) -> None:
    client.send(TEXT, b"hello")
    assert client.answer_until(TEXT) == b"hello"


class TestPeer:
    """A client that dies or freezes while the proxy is fine."""

    def test_leaves(self, serve: Serve, proxy: StartProxy, reports: Reports, path: str) -> None:
        server = serve(application(reports), ping_interval=0.05, ping_timeout=20)
        front = proxy(server)
        for leave in Client.close, reset, half_close:
            with Client(front.port, path=path).open() as client:
                port, keepalive = reports.get()
                receive_some(client, path)
                wait_for_ping(server, port, path)
                leave(client)
                has_left(reports, keepalive, path)
                freed(server, port, 0)

    def test_stopped_process_reads_the_close_frame_when_it_goes_on(
        self, serve: Serve, proxy: StartProxy, reports: Reports
    ) -> None:
        server = serve(application(reports), ping_timeout=1)
        with peer(proxy(server).url) as client:
            port, keepalive = reports.get()
            wait_until(lambda: keepalive.latency)
            with stopped(client):
                _, event, at = reports.get()
                assert event == FAILED
                waited = at - logged(server, "Ping ")[-1].at  # type: ignore[attr-defined]
                assert waited > 1 - LOGGED
                [record] = logged(server, "keepalive ping timeout")
                assert waited < 2 or record.keepalive["stalled"]  # type: ignore[attr-defined]
                freed(server, port, CLOSE_TIMEOUT)
            assert client.told() == {"code": TIMED_OUT[0], "reason": TIMED_OUT[1]}

    def test_off_the_network(
        self, serve: Serve, proxy: StartProxy, reports: Reports, path: str
    ) -> None:
        server = serve(application(reports))
        with Client(proxy(server).port, path=path).open() as client:
            port, _ = reports.get()
            receive_some(client, path)
            cut_off(client.socket)
            if path == "/stream":
                wait_until(lambda: is_backed_up(server, port))
            has_timed_out(reports, path)
            freed(server, port, CLOSE_TIMEOUT)
            reads_nothing_more(client)

    def test_reads_nothing_while_data_streams_to_it(
        self, serve: Serve, proxy: StartProxy, reports: Reports
    ) -> None:
        server = serve(application(reports))
        with Client(proxy(server).port, path="/stream", receive_buffer=4096).open():
            port, _ = reports.get()
            wait_until(lambda: is_backed_up(server, port))
            has_timed_out(reports, "/stream")
            freed(server, port, CLOSE_TIMEOUT)

    def test_reads_everything_and_the_close_frame_when_it_goes_on(
        self, serve: Serve, proxy: StartProxy, reports: Reports
    ) -> None:
        server = serve(application(reports), close_timeout=10)
        with Client(proxy(server).port, path="/stream", receive_buffer=4096).open() as client:
            port, _ = reports.get()
            wait_until(lambda: is_backed_up(server, port))
            has_timed_out(reports, "/stream")
            reads_the_close_frame(client)
            freed(server, port, 0)


class TestProxy:
    """A proxy that itself dies or freezes."""

    def test_killed(self, serve: Serve, proxy: StartProxy, reports: Reports, path: str) -> None:
        server = serve(application(reports), ping_interval=0.05, ping_timeout=20)
        front = proxy(server)
        with Client(front.port, path=path).open() as client:
            port, keepalive = reports.get()
            receive_some(client, path)
            wait_for_ping(server, port, path)
            front.kill()
            has_left(reports, keepalive, path)
            freed(server, port, 0)

    def test_frozen(self, serve: Serve, proxy: StartProxy, reports: Reports, path: str) -> None:
        server = serve(application(reports))
        front = proxy(server)
        with Client(front.port, path=path).open() as client:
            port, _ = reports.get()
            receive_some(client, path)
            front.freeze()
            has_timed_out(reports, path)
            freed(server, port, CLOSE_TIMEOUT)

    def test_frozen_for_a_while_passes_the_close_frame_on(
        self, serve: Serve, proxy: StartProxy, reports: Reports, path: str
    ) -> None:
        server = serve(application(reports), close_timeout=10)
        front = proxy(server)
        with Client(front.port, path=path).open() as client:
            port, _ = reports.get()
            receive_some(client, path)
            front.freeze()
            has_timed_out(reports, path)
            front.thaw()
            reads_the_close_frame(client)
            freed(server, port, 0)


class TestReload:
    def test_graceful_reload_drops_nothing(self, serve: Serve, proxy: StartProxy) -> None:
        server = serve(echo, ping_interval=0.1, ping_timeout=5)
        front = proxy(server)
        with ExitStack() as stack:

            def connected() -> Client:
                return stack.enter_context(Client(front.port).open())

            talking, idle = connected(), connected()
            reloaded = threading.Event()

            def talk() -> None:
                while not reloaded.is_set():
                    exchange(talking)

            old = front.workers
            with ThreadPoolExecutor(1) as thread:
                talk_ended = thread.submit(talk)
                try:
                    front.reload()
                finally:
                    reloaded.set()
                talk_ended.result()
            answered = len(logged(server, "Pong "))
            assert idle.answer(0.5) == []
            assert len(logged(server, "Pong ")) > answered
            new = connected()
            for client in talking, idle, new:
                exchange(client)
            assert old < front.workers
            for client in talking, idle:
                client.send(CLOSE, b"\x03\xe8")
                assert close_code(client.answer_until(CLOSE)) == (1000, "")
                assert client.until_end() == []
            wait_until(lambda: not old & front.workers)
            exchange(new)

    def test_silent_peer_does_not_keep_an_old_worker(self, serve: Serve, proxy: StartProxy) -> None:
        server = serve(echo, ping_timeout=1)
        front = proxy(server)
        with Client(front.port).open() as client:
            client.expect(PING)
            old = front.workers
            front.reload()
            assert old < front.workers
            assert close_code(client.expect(CLOSE)) == TIMED_OUT
            wait_until(lambda: not old & front.workers, timeout=IDLE_TIMEOUT / 2)


class TestServer:
    def test_shutdown(self, serve: Serve, proxy: StartProxy, reports: Reports) -> None:
        server = serve(application(reports), ping_interval=20)
        front = proxy(server)
        with (
            Client(front.port).open() as client,
            Client(front.port, path="/stream", receive_buffer=4096).open(),
        ):
            ports = [reports.get()[0] for _ in range(2)]
            wait_until(lambda: any(is_backed_up(server, port) for port in ports))
            assert server.stop() < CLOSE_TIMEOUT + 1 + LATE
            assert close_code(client.expect(CLOSE))[0] == 1012
            assert client.until_end() == []
            # What the proxy has taken, it may still be passing on.
            wait_until(lambda: not any(is_backed_up(server, port) for port in ports), LATE)
